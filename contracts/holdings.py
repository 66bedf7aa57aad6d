"""What runs of workloads hold, use and leave behind."""

from __future__ import annotations

from .model import Model

__all__ = ["TAIL", "Allocation", "OutputFile", "Usage"]

TAIL = 1000
"""Characters of what a program printed that are kept with its record."""


class Allocation(Model):
    """The room that an attempt holds on a backend, from its start until it ends."""

    backend: str
    node: str = ""
    cpus: float = 0.0
    memory: int = 0
    """Bytes."""
    gpus: int = 0
    gpu_model: str = ""
    gpu_indices: list[int] = []


class Usage(Model):
    """What an attempt really used."""

    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    """User and system time of the whole process tree."""
    memory_peak: int | None = None
    """Bytes, the largest resident set seen of the whole process tree; none if it ended before one was seen."""
    gpu_seconds: float = 0.0
    """Sum over the GPUs of busy share times seconds."""
    gpu_memory_peak: int = 0
    """Bytes."""


class OutputFile(Model):
    """A file that a workload left behind."""

    path: str
    """Below the job's folder: `outputs/…` or `logs/…`."""
    size: int
    sha256: str
    at: str | None = None
    """Where it lies in the owner's files, if the job was told to put it elsewhere."""
