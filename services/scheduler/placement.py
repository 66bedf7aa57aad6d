"""Where a job may run, and where it goes."""

from __future__ import annotations

from collections.abc import Sequence

from contracts.errors import InvalidError, RefusedError
from contracts.spec import JobSpec

from .backends.base import Backend, Capability, Capacity
from .backends.registry import Backends, Standing

__all__ = ["choose", "later_than", "next_after", "require_possible"]


async def require_possible(spec: JobSpec, backends: Backends) -> list[str]:
    """Return the backends that can hold a job; refuse one that none ever could, naming the field that is too large."""
    return [standing.backend.name for standing in _candidates(spec, await _considered(spec, backends))]


async def choose(spec: JobSpec, backends: Backends, tried: Sequence[str] = ()) -> Backend:
    """Return where an attempt goes: of several that were named the first that answers, else the one with most room.

    Those that it was taken back from, *tried*, come last.
    """
    possible = _candidates(spec, await _considered(spec, backends))
    left = [standing for standing in possible if standing.backend.name not in tried] or possible
    if spec.placement.backends:
        return next((standing for standing in left if not standing.trouble), left[0]).backend
    return max(left, key=_free).backend


async def next_after(spec: JobSpec, backends: Backends, name: str, tried: Sequence[str] = ()) -> Backend | None:
    """Return who takes an attempt that was not begun on a backend: the first one named after it that answers."""
    later = [other for other in later_than(name, spec.placement.backends, tried) if backends.get(other)]
    standings = [await backends.standing(backends.require(other)) for other in later]
    fitting = [standing for standing in standings if _refusal(spec, standing) is None]
    return next((standing.backend for standing in fitting if not standing.trouble), None)


def later_than(name: str, named: Sequence[str], tried: Sequence[str]) -> list[str]:
    """Return the backends that were named after one and not tried."""
    return [other for other in named[named.index(name) + 1 :] if other not in tried] if name in named else []


async def _considered(spec: JobSpec, backends: Backends) -> list[Standing]:
    wanted = spec.placement.named
    if not wanted:
        return await backends.standings(of_all=False)
    found = {name: backends.get(name) for name in wanted}
    for place, (name, backend) in enumerate(found.items()):
        if backend is None:
            field = f"placement.backends.{place}" if spec.placement.backends else "placement.backend"
            raise InvalidError.of(field, f"there is no {name!r}; there are: {', '.join(backends.names)}")
    return [await backends.standing(backend) for backend in found.values() if backend]


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
    if spec.resources.gpus.architecture and Capability.ARCHITECTURES not in backend.capabilities:
        return InvalidError.of("resources.gpus.architecture", f"the backend {name!r} does not know it of its GPUs")
    if spec.placement.environment and not spec.placement.named and Capability.ENVIRONMENTS not in backend.capabilities:
        return InvalidError.of("placement.environment", f"the machines of the backend {name!r} are all alike")
    if spec.array and Capability.ARRAYS not in backend.capabilities:
        return InvalidError.of("array", f"the backend {name!r} takes single jobs")
    return (
        None if standing.capacity is None or standing.backend.is_patient else _too_large(spec, standing.capacity, name)
    )


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
