"""Where a job goes."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.errors import InvalidError
from contracts.spec import JobSpec
from services.scheduler.backends.registry import Backends
from services.scheduler.placement import choose, require_possible
from tests.support.backend import FakeBackend


def _spec(**spec: Any) -> JobSpec:
    return JobSpec.model_validate({"argv": ["true"], **spec})


async def test_the_backend_with_the_most_free_room_is_chosen() -> None:
    backends = Backends([FakeBackend("full", cpus_free=0), FakeBackend("empty", cpus_free=8)])
    assert (await choose(_spec(), backends)).name == "empty"


async def test_a_backend_that_was_named_is_taken_even_if_it_is_full() -> None:
    backends = Backends([FakeBackend("full", cpus_free=0), FakeBackend("empty")])
    assert (await choose(_spec(placement={"backend": "full"}), backends)).name == "full"


async def test_a_backend_that_is_too_small_is_passed_over() -> None:
    backends = Backends([FakeBackend("small", cpus=2, cpus_free=2), FakeBackend("large", cpus_free=1)])
    assert (await choose(_spec(resources={"cpus": 4}), backends)).name == "large"


async def test_what_no_backend_can_hold_is_refused() -> None:
    with pytest.raises(InvalidError) as caught:
        await require_possible(_spec(resources={"cpus": 9}), Backends([FakeBackend()]))
    assert [error.field for error in caught.value.errors] == ["resources.cpus"]


async def test_an_unknown_backend_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(InvalidError, match="there are: fake"):
        await require_possible(_spec(placement={"backend": "nowhere"}), Backends([FakeBackend()]))


async def test_a_backend_that_does_not_answer_may_still_be_asked_to_queue() -> None:
    assert (await choose(_spec(), Backends([FakeBackend(flaky=True)]))).name == "fake"
