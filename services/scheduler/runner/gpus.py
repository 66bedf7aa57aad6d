"""The GPUs of this node, by NVML where there is a driver."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog

from .room import Gpu

__all__ = ["Gpus", "NoGpus", "NvidiaGpus", "choose", "detect_gpus"]

_DRIVER = (Path("/dev/nvidiactl"), Path("/dev/dxg"))
"""Without these there is no driver to ask, and the library is not even loaded."""

log = structlog.get_logger(__name__)


class Gpus(ABC):
    """What the runner wants to know of GPUs. Nothing here raises: a driver that stops answering costs figures only."""

    @abstractmethod
    def list(self) -> Sequence[Gpu]:
        """Return the GPUs that may be given out."""

    @abstractmethod
    def busy(self, indices: Sequence[int]) -> float:
        """Return the sum of the busy shares, each from 0 to 1."""

    @abstractmethod
    def memory_used(self, indices: Sequence[int]) -> int:
        """Return the bytes that are in use."""


class NoGpus(Gpus):
    """A node without."""

    def list(self) -> Sequence[Gpu]:
        """Return none."""
        return ()

    def busy(self, indices: Sequence[int]) -> float:  # noqa: ARG002
        """Return nothing."""
        return 0.0

    def memory_used(self, indices: Sequence[int]) -> int:  # noqa: ARG002
        """Return nothing."""
        return 0


class NvidiaGpus(Gpus):
    """NVIDIA's, by NVML."""

    def __init__(self, nvml: Any) -> None:
        self._nvml = nvml
        self._handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]

    def list(self) -> Sequence[Gpu]:
        """Return all that the driver shows."""
        return [self._describe(index, handle) for index, handle in enumerate(self._handles)]

    def busy(self, indices: Sequence[int]) -> float:
        """Return the sum of the busy shares over the driver's last sample period."""
        total = 0.0
        for index in indices:
            with suppress(self._nvml.NVMLError, IndexError):
                total += self._nvml.nvmlDeviceGetUtilizationRates(self._handles[index]).gpu / 100
        return total

    def memory_used(self, indices: Sequence[int]) -> int:
        """Return the bytes that are in use on these, by whomever."""
        total = 0
        for index in indices:
            with suppress(self._nvml.NVMLError, IndexError):
                total += int(self._nvml.nvmlDeviceGetMemoryInfo(self._handles[index]).used)
        return total

    def _describe(self, index: int, handle: Any) -> Gpu:
        name = self._nvml.nvmlDeviceGetName(handle)
        model = name.decode() if isinstance(name, bytes) else str(name)
        return Gpu(index, model, int(self._nvml.nvmlDeviceGetMemoryInfo(handle).total))


def detect_gpus() -> Gpus:
    """Return the node's GPUs; a node without a driver has none, silently."""
    if not any(path.exists() for path in _DRIVER):
        return NoGpus()
    import pynvml

    try:
        pynvml.nvmlInit()
        return NvidiaGpus(pynvml)
    except pynvml.NVMLError as error:
        log.info("gpus.none", detail=str(error))
        return NoGpus()


def choose(found: Sequence[Gpu], wanted: int | Sequence[int] | None) -> list[Gpu]:
    """Return the GPUs that may be given out: all, so many, or these."""
    if wanted is None:
        return list(found)
    if isinstance(wanted, int):
        return list(found)[:wanted]
    return [gpu for gpu in found if gpu.index in wanted]
