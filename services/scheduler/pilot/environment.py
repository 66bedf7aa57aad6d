"""The environment of a user's process: what its node gives everybody, little of ours, and nothing secret."""

from __future__ import annotations

import os
from collections.abc import Mapping

from .census import MARKER
from .folder import RunFolder
from .words import Task

__all__ = ["environment"]

_SECRET = ("SHUNTER_", "SLURM_JWT")
"""What no program is to see of what we were started with."""

_CLUSTERS = (
    *("CUDA_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL", "HIP_VISIBLE_DEVICES", "NVIDIA_", "ONEAPI_DEVICE_SELECTOR"),
    *("ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK", "SLURM_", "PMI_", "PMIX_", "PATH", "LD_LIBRARY_PATH"),
)
"""What a cluster says of the room that it gave: also for a program that is to inherit nothing."""


def environment(
    task: Task, folder: RunFolder, backend: str, *, given: Mapping[str, str], mpirun: str
) -> dict[str, str]:
    """Return the environment for a run of *task*, with what it is to see of what was *given* to us."""
    wanted = tuple(_CLUSTERS)
    env = {
        name: value
        for name, value in given.items()
        if not name.startswith(_SECRET) and (task.inherit_env or name.startswith(wanted))
    }
    env.setdefault("PATH", os.defpath)
    env["TMPDIR"] = str(folder.temporary)
    env["SHUNTER_NODES"] = str(task.nodes)
    env["SHUNTER_PROCESSES"] = str(task.processes)
    if mpirun:
        env["mpirun"] = mpirun
    env.update(task.env)
    env["SHUNTER_JOB_ID"] = task.workload_id
    env["SHUNTER_ATTEMPT"] = str(task.attempt)
    env["SHUNTER_BACKEND"] = backend
    env[MARKER] = folder.name
    if task.traceparent:
        env["TRACEPARENT"] = task.traceparent
    return env
