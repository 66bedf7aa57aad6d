"""What a psik job asks for, as ours; on a single machine never more than it has."""

from __future__ import annotations

from datetime import timedelta

from contracts.queries import BackendView
from contracts.resources import Gpus, Resources

from .models import ResourceSpec

__all__ = ["resources_of"]

_ONE_MACHINE = "local"
"""The kind of backend on which psik takes resources for a wish: whatever the machine has, the job runs."""


def resources_of(asked: ResourceSpec, views: tuple[BackendView, ...]) -> tuple[Resources, str]:
    """Return the resources, and in words what was left out because no machine has it."""
    processes, cpus, gpus = asked.processes, float(asked.cpu_cores_per_process), asked.gpu_cores_per_process
    nodes, cut = asked.node_count or 1, []
    room = _room(views)
    if room is not None:
        most_cpus, most_gpus = room
        if nodes > 1:
            cut.append(f"nodes {nodes} -> 1")
            nodes = 1
        if processes * cpus > most_cpus or processes * gpus > most_gpus:
            whole = min(processes * cpus, most_cpus)
            if whole < processes * cpus:
                cut.append(f"cpus {processes * cpus:g} -> {whole:g}")
            if processes * gpus > most_gpus:
                cut.append(f"gpus {processes * gpus} -> {most_gpus}")
            processes, cpus, gpus = 1, whole, min(processes * gpus, most_gpus)
    resources = Resources(
        nodes=nodes,
        processes=processes,
        cpus=cpus,
        gpus=Gpus(count=gpus),
        walltime=timedelta(minutes=asked.duration),
    )
    return resources, ", ".join(cut)


def _room(views: tuple[BackendView, ...]) -> tuple[float, int] | None:
    """Return the CPUs and GPUs of the largest machine, if all there is are single machines that say what they have."""
    if not views or any(view.kind != _ONE_MACHINE or view.largest_cpus is None for view in views):
        return None
    best = max(views, key=lambda view: (view.largest_gpus or 0, view.largest_cpus or 0.0))
    return best.largest_cpus or 0.0, best.largest_gpus or 0
