"""What a backend must be for a job to run there at all; whatever speaks against it is told with its field."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import ceil
from typing import Any

from pydantic import ValidationError

from contracts.errors import InvalidError
from contracts.resources import Gpus
from contracts.spec import JobSpec
from services.scheduler.backends.base import Capability, Capacity
from services.scheduler.backends.facts import BackendFacts, GpuKind
from services.scheduler.backends.registry import Standing

from .settings import PlacementPolicy

__all__ = ["refusal_of"]


def refusal_of(spec: JobSpec, standing: Standing, policy: PlacementPolicy) -> InvalidError | None:
    """Return what speaks against a backend, the first thing; None if it can hold the job."""
    return next(_refusals(spec, standing, policy), None)


def _refusals(spec: JobSpec, standing: Standing, policy: PlacementPolicy) -> Iterator[InvalidError]:
    yield from _by_kind(spec, standing)
    yield from _by_place(spec, standing, policy)
    yield from _by_gpu(spec.resources.gpus, standing)
    if standing.capacity is not None and not standing.backend.is_patient:
        yield from _by_size(spec, standing, standing.capacity)


def _by_kind(spec: JobSpec, standing: Standing) -> Iterator[InvalidError]:
    name, able = standing.backend.name, standing.backend.capabilities
    # The program of an application runs as it is where there are no containers.
    if spec.image and spec.application is None and Capability.IMAGES not in able:
        yield InvalidError.of("image", f"the backend {name!r} runs no containers")
    if spec.resources.nodes > 1 and Capability.MULTI_NODE not in able:
        message = f"the backend {name!r} starts a job on one node: all processes start together there, or none does"
        yield InvalidError.of("resources.nodes", message)
    if spec.placement.environment and not spec.placement.named and Capability.ENVIRONMENTS not in able:
        yield InvalidError.of("placement.environment", f"the machines of the backend {name!r} are all alike")
    if spec.array and Capability.ARRAYS not in able:
        yield InvalidError.of("array", f"the backend {name!r} takes single jobs")
    if said := spec.placement.options.get(standing.backend.kind):
        yield from _by_options(said, standing)


def _by_options(said: dict[str, Any], standing: Standing) -> Iterator[InvalidError]:
    backend = standing.backend
    field = f"placement.options.{backend.kind}"
    if backend.options is None:
        yield InvalidError.of(field, f"there is nothing to be said to the backend {backend.name!r}")
        return
    try:
        backend.options.model_validate(said, extra="forbid")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in (field, *first["loc"]))
        yield InvalidError.of(place, first["msg"].removeprefix("Value error, "))


def _by_place(spec: JobSpec, standing: Standing, policy: PlacementPolicy) -> Iterator[InvalidError]:
    name, facts, wish = standing.backend.name, standing.facts, spec.placement
    for sites, who in ((wish.sites, "asked"), (policy.sites, f"what the site lets {_billed(spec)} do")):
        if sites and facts.site not in sites:
            where = f"stands at {facts.site}" if facts.site else "says of no site that it stands there"
            yield InvalidError.of("placement.sites", f"{', '.join(sites)} is {who}, {name!r} {where}")
    for labels, who in ((wish.labels, "asked"), (policy.labels, f"what the site lets {_billed(spec)} do")):
        for label, value in labels.items():
            if facts.labels.get(label) != value:
                has = f"has {label}={facts.labels[label]}" if label in facts.labels else "has no such label"
                yield InvalidError.of(f"placement.labels.{label}", f"{label}={value} is {who}, {name!r} {has}")
    if wish.network and not facts.network:
        yield InvalidError.of("placement.network", f"programs on {name!r} reach no other network")
    if facts.walltime is not None and spec.resources.walltime > facts.walltime:
        asked, most = spec.resources.walltime.total_seconds(), facts.walltime.total_seconds()
        yield InvalidError.of("resources.walltime", f"{asked:g} s asked, {name!r} gives {most:g} s")


def _billed(spec: JobSpec) -> str:
    return f"the project {spec.project}" if spec.project else "jobs without a project"


def _by_gpu(wanted: Gpus, standing: Standing) -> Iterator[InvalidError]:
    name, facts = standing.backend.name, standing.facts
    kinds = _kinds(wanted, facts)
    if wanted.architecture:
        known = sorted({kind.architecture for kind in facts.gpus.values() if kind.architecture})
        if not known and Capability.ARCHITECTURES not in standing.backend.capabilities:
            message = f"the backend {name!r} does not know it of its GPUs"
            yield InvalidError.of("resources.gpus.architecture", message)
        elif known and not any(_same(kind.architecture, wanted.architecture) for kind in kinds):
            yield InvalidError.of("resources.gpus.architecture", f"{name!r} has {', '.join(known)}")
    if wanted.count and wanted.memory and kinds and all(kind.memory for kind in kinds):
        largest = max(int(kind.memory or 0) for kind in kinds)
        if int(wanted.memory) > largest:
            yield InvalidError.of("resources.gpus.memory", f"{int(wanted.memory)} asked, {name!r} has {largest}")


def _kinds(wanted: Gpus, facts: BackendFacts) -> list[GpuKind]:
    """Return what is told of the GPUs that would do."""
    models = [model for model in facts.gpus if not wanted.model or wanted.model.lower() in model.lower()]
    return [facts.gpus[model] for model in models]


def _same(one: str | None, other: str) -> bool:
    return one is not None and one.lower() == other.lower()


def _by_size(spec: JobSpec, standing: Standing, room: Capacity) -> Iterator[InvalidError]:
    wanted, name = spec.resources, standing.backend.name
    nodes = wanted.nodes if Capability.MULTI_NODE in standing.backend.capabilities else 1
    together = ceil(wanted.processes / nodes)
    memory = int(wanted.memory or 0)
    sizes: Iterable[tuple[str, float, float, float]] = (
        ("cpus", wanted.cpus, room.largest_cpus, room.cpus),
        ("memory", memory, room.largest_memory, room.memory),
        ("gpus.count", wanted.gpus.count, room.largest_gpus, room.gpus),
    )
    for field, each, largest, whole in sizes:
        if each * together > largest:
            yield InvalidError.of(f"resources.{field}", _told(each, together, name, largest))
        elif nodes > 1 and each * wanted.processes > whole:
            message = f"{each * wanted.processes:g} asked by all processes, {name!r} has {whole:g} in all"
            yield InvalidError.of(f"resources.{field}", message)
    models = room.gpu_models or tuple(standing.facts.gpus)
    model = wanted.gpus.model
    if wanted.total_gpus and model and not any(model.lower() in known.lower() for known in models):
        yield InvalidError.of("resources.gpus.model", f"{name!r} has {', '.join(models) or 'none'}")


def _told(each: float, together: int, name: str, largest: float) -> str:
    if together == 1:
        return f"{each:g} asked, {name!r} has {largest:g}"
    asked = f"{each * together:g} asked, for {together} processes of {each:g} that start together or not at all"
    return f"{asked}: {name!r} has {largest:g} on one node"
