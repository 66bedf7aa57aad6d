"""Room is given and taken back exactly."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scheduler.runner.gpus import choose
from services.scheduler.runner.room import Gpu, Room
from tests.support.runners import a_task

A100 = "NVIDIA A100-SXM4-80GB"
GPUS = (Gpu(0, A100, 80), Gpu(1, "Tesla T4", 16), Gpu(2, A100, 80))


def a_room(**changes: Any) -> Room:
    values: dict[str, Any] = {"backend": "local", "node": "n", "cpus": 4, "memory": 1000, "gpus": GPUS}
    return Room(**(values | changes))


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"cpus": 4.5}, "it needs 4.5 cores, the runner has 4"),
        ({"memory": 1001}, "it needs 1001 bytes of memory, the runner has 1000"),
        ({"gpus": 4}, "it needs 4 GPUs, the runner has 3"),
        ({"gpus": 3, "gpu_model": "a100"}, "it needs 3 a100 GPUs, the runner has 2"),
        ({"gpus": 1, "gpu_memory": 81}, "it needs 1 GPUs, the runner has 0"),
        ({"cpus": 4, "memory": 1000, "gpus": 2, "gpu_model": "A100 SXM4"}, None),
    ],
)
def test_what_can_never_fit_is_known(asked: dict[str, Any], why: str | None) -> None:
    assert a_room().refusal(a_task("true", **asked)) == why


def test_a_gpu_is_held_by_one() -> None:
    room = a_room()
    task = a_task("true", gpus=1, gpu_model="a100")
    first, second = room.claim(task), room.claim(task)
    assert first
    assert second
    assert (first.gpu_indices, second.gpu_indices) == ([0], [2])
    assert room.claim(task) is None
    room.release(first)
    assert room.claim(task) == first


@given(st.lists(st.floats(min_value=0.01, max_value=2)))
def test_all_room_comes_back(sizes: list[float]) -> None:
    room = a_room()
    held = [allocation for size in sizes if (allocation := room.claim(a_task("true", cpus=size, memory=10)))]
    assert room.cpus_free >= -1e-3
    for allocation in held:
        room.release(allocation)
    assert room.cpus_free == pytest.approx(4)
    assert (room.memory_free, room.gpus_free) == (1000, 3)


@pytest.mark.parametrize(("wanted", "indices"), [(None, [0, 1, 2]), (2, [0, 1]), ([2, 7], [2]), (0, [])])
def test_gpus_are_chosen_by_number_or_index(wanted: int | list[int] | None, indices: list[int]) -> None:
    assert [gpu.index for gpu in choose(GPUS, wanted)] == indices
