"""The GPUs that a cluster gave to a pilot, by a library that pretends to be NVML."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest

from services.scheduler.pilot.gpus import Gpus, detect

_NAMES = ("GPU-a", "GPU-b", "GPU-c")
_NOT_FOUND = 6


class _Nvml:
    """Three GPUs: the second is busiest and fullest, and the third does not answer."""

    def __init__(self) -> None:
        self.broken = False

    def nvmlInit_v2(self) -> int:  # noqa: N802 (NVML's name, as all of these)
        return 9 if self.broken else 0

    def nvmlDeviceGetCount_v2(self, count: Any) -> int:  # noqa: N802
        count._obj.value = 3
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, number: Any, handle: Any) -> int:  # noqa: N802
        if number.value >= 3:
            return _NOT_FOUND
        handle._obj.value = number.value + 1
        return 0

    def nvmlDeviceGetHandleByUUID(self, name: bytes, handle: Any) -> int:  # noqa: N802
        if name.decode() not in _NAMES:
            return _NOT_FOUND
        handle._obj.value = _NAMES.index(name.decode()) + 1
        return 0

    def nvmlDeviceGetName(self, handle: Any, text: Any, size: int) -> int:  # noqa: N802
        text.value = f"model {handle.value}"[: size - 1].encode()
        return 0

    def nvmlDeviceGetUtilizationRates(self, handle: Any, rates: Any) -> int:  # noqa: N802
        rates._obj.gpu = 40 * handle.value
        return 15 if handle.value == 3 else 0

    def nvmlDeviceGetMemoryInfo(self, handle: Any, memory: Any) -> int:  # noqa: N802
        memory._obj.used = 1000 * handle.value
        return 15 if handle.value == 3 else 0


@pytest.mark.parametrize(
    ("said", "busy", "used"),
    [("0", 0.4, 1000), ("1,0", 1.2, 3000), ("GPU-b", 0.8, 2000), ("7", 0.0, 0), ("", 0.0, 0), ("-1", 0.0, 0)],
)
def test_the_cluster_says_which_are_ours(said: str, busy: float, used: int) -> None:
    found = detect({"CUDA_VISIBLE_DEVICES": said}, library=_Nvml())
    assert (found.busy(), found.memory_used()) == (pytest.approx(busy), used)


def test_where_it_says_nothing_all_are_and_one_that_does_not_answer_costs_figures_only() -> None:
    found = detect({}, library=_Nvml())
    assert (len(found), found.busy(), found.memory_used(), found.model) == (3, pytest.approx(1.2), 3000, "model 1")


def test_without_a_driver_there_are_none() -> None:
    broken = _Nvml()
    broken.broken = True
    for found in (detect({}, library=broken), Gpus()):
        assert (len(found), found.busy(), found.memory_used(), found.model) == (0, 0.0, 0, "")


def test_figures_are_laid_out_as_the_library_writes_them() -> None:
    from services.scheduler.pilot import gpus

    assert ctypes.sizeof(gpus._Memory) == 24
    assert ctypes.sizeof(gpus._Rates) == 8
