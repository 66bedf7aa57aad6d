"""How many GPUs a request asks for: what a token's `max_gpus` is held against."""

from __future__ import annotations

from contracts.spec import JobSpec

__all__ = ["gpus_of"]


def gpus_of(spec: JobSpec) -> int:
    """Return the GPUs of all processes of a job, of an array those of all tasks that may run at once."""
    each = spec.resources.total_gpus
    if not each or spec.array is None:
        return each
    tasks = len(spec.array.tasks)
    return each * min(tasks, spec.array.max_running or tasks)
