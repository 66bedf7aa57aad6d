"""When small jobs wait for others that may share a native job with them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from services.scheduler.natives.packing import Group, Waiting, is_ripe
from services.scheduler.settings import PackSettings
from tests.support.clusters import task

_PACK = PackSettings(most=3, gather=10)


@pytest.mark.parametrize(
    ("size", "waited", "more", "ripe"),
    [
        (1, 0, {}, False),
        (2, 9, {}, False),
        (3, 0, {}, True),
        (1, 11, {}, True),
        (1, 0, {"gpus": 1}, True),
        (1, 0, {"walltime": 10_000.0}, True),
    ],
)
def test_a_group_goes_when_it_is_full_has_waited_or_cannot_grow(
    size: int, waited: float, more: dict[str, float], ripe: bool
) -> None:
    members = tuple(Waiting(number, task().model_copy(update={"walltime": 60.0, **more})) for number in range(size))
    since = {number: timedelta(seconds=waited) for number in range(size)}
    assert is_ripe(Group("s-1", members), since, _PACK) is ripe


def test_what_came_back_from_a_pack_goes_alone() -> None:
    again = Waiting(1, task().model_copy(update={"walltime": 60.0}), returns=1)
    assert is_ripe(Group("s-1", (again,)), {1: timedelta(0)}, _PACK)
