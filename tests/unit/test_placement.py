"""Where a job goes."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.errors import InvalidError
from contracts.spec import JobSpec
from services.scheduler.backends.registry import Backends
from services.scheduler.placing.placer import Placer
from tests.support.backend import FakeBackend


def _spec(**spec: Any) -> JobSpec:
    return JobSpec.model_validate({"argv": ["true"], **spec})


async def _possible(spec: JobSpec, backends: Backends) -> list[str]:
    return list((await Placer(backends).require_possible(spec)).names)


async def _chosen(spec: JobSpec, backends: Backends, *tried: str) -> str:
    chosen = await Placer(backends).choose(spec, tried=tried)
    assert chosen is not None
    return chosen.name


async def _next(spec: JobSpec, backends: Backends, after: str, *tried: str) -> str | None:
    found = await Placer(backends).next_after(spec, after, tried=tried)
    return found.name if found else None


async def test_the_backend_with_the_most_free_room_is_chosen() -> None:
    backends = Backends([FakeBackend("full", cpus_free=0), FakeBackend("empty", cpus_free=8)])
    assert await _chosen(_spec(), backends) == "empty"


async def test_a_backend_that_was_named_is_taken_even_if_it_is_full() -> None:
    backends = Backends([FakeBackend("full", cpus_free=0), FakeBackend("empty")])
    assert await _chosen(_spec(placement={"backend": "full"}), backends) == "full"


async def test_a_backend_that_is_too_small_is_passed_over() -> None:
    backends = Backends([FakeBackend("small", cpus=2, cpus_free=2), FakeBackend("large", cpus_free=1)])
    assert await _chosen(_spec(resources={"cpus": 4}), backends) == "large"


async def test_what_no_backend_can_hold_is_refused() -> None:
    with pytest.raises(InvalidError) as caught:
        await _possible(_spec(resources={"cpus": 9}), Backends([FakeBackend()]))
    assert [error.field for error in caught.value.errors] == ["resources.cpus"]


async def test_an_unknown_backend_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(InvalidError, match="there are: fake"):
        await _possible(_spec(placement={"backend": "nowhere"}), Backends([FakeBackend()]))


async def test_a_backend_that_does_not_answer_may_still_be_asked_to_queue() -> None:
    assert await _chosen(_spec(), Backends([FakeBackend(flaky=True)])) == "fake"


async def test_of_several_that_were_named_the_first_that_answers_is_taken() -> None:
    backends = Backends([FakeBackend("large"), FakeBackend("away", flaky=True), FakeBackend("second")])
    spec = _spec(placement={"backends": ["away", "second", "large"]})
    assert await _possible(spec, backends) == ["away", "second", "large"]
    assert await _chosen(spec, backends) == "second"
    assert await _chosen(spec, backends, "second") == "large"


async def test_what_was_not_begun_goes_to_the_next_that_answers() -> None:
    backends = Backends([FakeBackend("first"), FakeBackend("away", flaky=True), FakeBackend("small", cpus=1)])
    spec = _spec(placement={"backends": ["first", "away", "small"], "patience": 5})
    assert await _next(spec, backends, "first") == "small"
    wide = _spec(placement={"backends": ["first", "small"], "patience": 5}, resources={"cpus": 2})
    assert await _next(wide, backends, "first") is None


async def test_what_has_been_everywhere_goes_where_it_was_least_often() -> None:
    backends = Backends([FakeBackend("first"), FakeBackend("second"), FakeBackend("third")])
    spec = _spec(placement={"backends": ["first", "second", "third"], "patience": 5})
    assert await _next(spec, backends, "first") == "second"
    assert await _next(spec, backends, "first", "second") == "third"
    assert await _next(spec, backends, "second", "third", "first") == "first"
    assert await _next(spec, backends, "first", "third", "first", "second") == "second"
    assert await _chosen(spec, backends, "third", "first", "second", "first") == "second"
    away = Backends([FakeBackend("first"), FakeBackend("second", flaky=True), FakeBackend("third", flaky=True)])
    assert await _next(spec, away, "first") is None


async def test_the_time_that_it_may_lie_there_doubles_with_each_round() -> None:
    placer, spec = Placer(Backends([FakeBackend()])), _spec(placement={"backends": ["fake"], "patience": 5})
    assert [placer.patience(spec, rounds) for rounds in (0, 1, 2, 10, 1000)] == [5, 10, 20, 5120, 5120]
    assert placer.patience(_spec(), 3) is None


async def test_a_backend_on_request_is_for_those_that_name_it() -> None:
    outside = FakeBackend("outside", cpus_free=99)
    outside.on_request = True
    backends = Backends([FakeBackend("own"), outside])
    assert await _possible(_spec(), backends) == ["own"]
    assert await _chosen(_spec(placement={"backend": "outside"}), backends) == "outside"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"resources": {"gpus": {"count": 0, "architecture": "ampere"}}}, "resources.gpus.architecture"),
        ({"placement": {"environment": "cloud"}}, "placement.environment"),
        ({"placement": {"backends": ["fake", "nowhere"]}}, "placement.backends.1"),
    ],
)
async def test_what_no_backend_knows_is_refused(change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidError) as caught:
        await _possible(_spec(**change), Backends([FakeBackend()]))
    assert [error.field for error in caught.value.errors] == [field]
