"""The environment of a user's process: little of ours, and nothing secret."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from contracts.runs import RunTask, run_name
from contracts.workloads import Allocation
from services.scheduler.pilot.census import MARKER

from .journal import RunFolder

__all__ = ["environment", "in_image", "visible_gpus"]

_OURS = ("SHUNTER_", "TRACEPARENT")


def environment(
    task: RunTask, folder: RunFolder, allocation: Allocation, *, path: str, inherit: Sequence[str], has_gpus: bool
) -> dict[str, str]:
    """Return the environment for the run of *task*."""
    known = [name for name in inherit if name in os.environ and not name.startswith("SHUNTER_")]
    env = {name: os.environ[name] for name in known if task.inherit_env}
    env["PATH"] = path
    env["TMPDIR"] = str(folder.temporary)
    env.update(task.env)
    env["SHUNTER_JOB_ID"] = task.workload_id
    env["SHUNTER_ATTEMPT"] = str(task.attempt)
    env["SHUNTER_BACKEND"] = allocation.backend
    env[MARKER] = run_name(task.workload_id, task.attempt)
    if task.traceparent:
        env["TRACEPARENT"] = task.traceparent
    if has_gpus:
        env.update(visible_gpus(allocation))
    return env


def visible_gpus(allocation: Allocation) -> dict[str, str]:
    """Return what tells CUDA which GPUs are the run's: NVML's numbers, in NVML's order, which is not CUDA's own."""
    indices = ",".join(str(index) for index in allocation.gpu_indices)
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": indices}


def in_image(task: RunTask, env: Mapping[str, str]) -> dict[str, str]:
    """Return of an environment what the job gave and what we tell it: an image has programs and folders of its own."""
    return {name: value for name, value in env.items() if name in task.env or name.startswith(_OURS)}
