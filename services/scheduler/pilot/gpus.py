"""The GPUs that the cluster gave us, by NVML where its library is there."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from typing import Any

__all__ = ["Gpus", "detect"]

_LIBRARY = "libnvidia-ml.so.1"
_DRIVER = ("/dev/nvidiactl", "/dev/dxg")
"""Without these there is no driver to ask, and the library is not even loaded."""
_NAME = 96


class _Memory(ctypes.Structure):
    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


class _Rates(ctypes.Structure):
    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


class Gpus:
    """What is asked of GPUs. Nothing here raises: a driver that stops answering costs figures only."""

    def __init__(self, library: Any = None, handles: list[Any] | None = None) -> None:
        self._library = library
        self._handles = handles or []

    def __len__(self) -> int:
        return len(self._handles)

    @property
    def model(self) -> str:
        """Return the model of the first one."""
        text = ctypes.create_string_buffer(_NAME)
        if not self._handles or self._library.nvmlDeviceGetName(self._handles[0], text, _NAME):
            return ""
        return text.value.decode(errors="replace")

    def busy(self) -> float:
        """Return the sum of the busy shares, each from 0 to 1."""
        rates, total = _Rates(), 0.0
        for handle in self._handles:
            if not self._library.nvmlDeviceGetUtilizationRates(handle, ctypes.byref(rates)):
                total += rates.gpu / 100
        return total

    def memory_used(self) -> int:
        """Return the bytes that are in use, by whomever."""
        memory, total = _Memory(), 0
        for handle in self._handles:
            if not self._library.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory)):
                total += int(memory.used)
        return total


def detect(environment: Mapping[str, str], *, library: Any = None) -> Gpus:
    """Return the GPUs that programs see here; a node without a driver has none, silently."""
    if library is None:
        if not any(os.path.exists(path) for path in _DRIVER):  # noqa: PTH110
            return Gpus()
        try:
            library = ctypes.CDLL(_LIBRARY)
        except OSError:
            return Gpus()
    if library.nvmlInit_v2():
        return Gpus()
    handles = []
    for word in _words(environment, library):
        handle = ctypes.c_void_p()
        if word.isdigit():
            failed = library.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(int(word)), ctypes.byref(handle))
        else:
            failed = library.nvmlDeviceGetHandleByUUID(word.encode(), ctypes.byref(handle))
        if not failed:
            handles.append(handle)
    return Gpus(library, handles)


def _words(environment: Mapping[str, str], library: Any) -> list[str]:
    """Return the numbers or names of the GPUs that are ours, as the cluster wrote them; by default all there are."""
    said = environment.get("CUDA_VISIBLE_DEVICES")
    if said is not None:
        return [word.strip() for word in said.split(",") if word.strip() and not word.strip().startswith("-")]
    count = ctypes.c_uint()
    return [] if library.nvmlDeviceGetCount_v2(ctypes.byref(count)) else [str(number) for number in range(count.value)]
