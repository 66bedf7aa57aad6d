"""Where a job may run, and where it goes."""

from __future__ import annotations

from contracts.errors import InvalidError, RefusedError
from contracts.spec import JobSpec

from .backends.base import Backend, Capability, Capacity
from .backends.registry import Backends, Standing

__all__ = ["choose", "require_possible"]


async def require_possible(spec: JobSpec, backends: Backends) -> list[str]:
    """Return the backends that can hold a job; refuse one that none ever could, naming the field that is too large."""
    return [standing.backend.name for standing in _candidates(spec, await _considered(spec, backends))]


async def choose(spec: JobSpec, backends: Backends) -> Backend:
    """Return the backend with the most free room among those that can hold the job."""
    return max(_candidates(spec, await _considered(spec, backends)), key=_free).backend


async def _considered(spec: JobSpec, backends: Backends) -> list[Standing]:
    wanted = spec.placement.backend
    if wanted is None:
        return await backends.standings()
    found = backends.get(wanted)
    if found is None:
        raise InvalidError.of("placement.backend", f"there is no {wanted!r}; there are: {', '.join(backends.names)}")
    return [await backends.standing(found)]


def _candidates(spec: JobSpec, standings: list[Standing]) -> list[Standing]:
    refusals: list[RefusedError] = []
    possible: list[Standing] = []
    for standing in standings:
        refusal = _refusal(spec, standing)
        if refusal is None:
            possible.append(standing)
        else:
            refusals.append(refusal)
    if not possible:
        raise refusals[0]
    return possible


def _refusal(spec: JobSpec, standing: Standing) -> RefusedError | None:
    backend, name = standing.backend, standing.backend.name
    # The program of an application runs as it is where there are no containers.
    if spec.image and spec.application is None and Capability.IMAGES not in backend.capabilities:
        return InvalidError.of("image", f"the backend {name!r} runs no containers")
    if spec.resources.nodes > 1 and Capability.MULTI_NODE not in backend.capabilities:
        return InvalidError.of("resources.nodes", f"the backend {name!r} has one node")
    return None if standing.capacity is None else _too_large(spec, standing.capacity, name)


def _too_large(spec: JobSpec, room: Capacity, name: str) -> RefusedError | None:
    wanted = spec.resources
    if wanted.total_cpus > room.largest_cpus:
        return InvalidError.of("resources.cpus", f"{wanted.total_cpus:g} asked, {name!r} has {room.largest_cpus:g}")
    if (wanted.total_memory or 0) > room.largest_memory:
        return InvalidError.of("resources.memory", f"{wanted.total_memory} asked, {name!r} has {room.largest_memory}")
    if wanted.total_gpus > room.largest_gpus:
        return InvalidError.of("resources.gpus.count", f"{wanted.total_gpus} asked, {name!r} has {room.largest_gpus}")
    model = wanted.gpus.model
    if wanted.total_gpus and model and not any(model.lower() in known.lower() for known in room.gpu_models):
        return InvalidError.of("resources.gpus.model", f"{name!r} has {', '.join(room.gpu_models) or 'none'}")
    return None


def _free(standing: Standing) -> float:
    return -1.0 if standing.trouble or standing.capacity is None else standing.capacity.cpus_free
