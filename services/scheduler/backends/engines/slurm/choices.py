"""What of Slurm's options one order gets: the job's own word, what the site allows, and the site's defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import ValidationError

from contracts.errors import InvalidError
from services.scheduler.backends.engines.base import Order

from .options import SlurmOptions
from .settings import SlurmSettings

__all__ = ["Choices", "choose"]

_PLACE = "placement.options.slurm"

_MOST = 65_000
"""Slurm counts the cores of a process and the processes of a node in 16 bits, and takes more for something else."""


@dataclass(frozen=True, slots=True)
class Choices:
    """The options of one order, the type of its GPUs, and what its environment gets from the site."""

    options: SlurmOptions
    gpu: str = ""
    env: Mapping[str, str] = field(default_factory=dict, hash=False)


def choose(order: Order, settings: SlurmSettings) -> Choices:
    """Settle the options of *order*; `InvalidError` if it asks for what it may not have."""
    if order.cpus > _MOST or order.processes / order.nodes > _MOST:
        raise InvalidError.of("resources", f"Slurm takes at most {_MOST} cores a process and processes a node")
    wished = _read(order)
    _check(wished, settings)
    account = SlurmOptions(account=settings.accounts.get(order.project or ""))
    options = wished.over(account).over(settings.defaults)
    return Choices(options=options, gpu=_gpu_of(order, settings), env=_environment(order, settings))


def _read(order: Order) -> SlurmOptions:
    try:
        return SlurmOptions.model_validate(dict(order.options))
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidError.of(".".join((_PLACE, *map(str, first["loc"]))), first["msg"]) from error


def _check(wished: SlurmOptions, settings: SlurmSettings) -> None:
    for name, value in wished.model_dump(exclude_none=True).items():
        allowed = settings.allowed.get(name)
        if allowed is not None and str(value).lower() not in {word.lower() for word in allowed}:
            raise InvalidError.of(f"{_PLACE}.{name}", f"must be one of: {', '.join(allowed) or '(none)'}")


def _gpu_of(order: Order, settings: SlurmSettings) -> str:
    """Return the type that `gres.conf` gives to the GPUs that are asked for."""
    if not order.gpus or not (order.gpu_model or order.gpu_memory):
        return ""
    model = (order.gpu_model or "").lower()
    known = {name: gpu for name, gpu in settings.gpus.items() if not model or _is_called(name, gpu.models, model)}
    if not order.gpu_memory:
        return next(iter(known), (order.gpu_model or "").replace(" ", "_"))
    enough = [(gpu.memory, name) for name, gpu in known.items() if gpu.memory and gpu.memory >= order.gpu_memory]
    if not enough:
        raise InvalidError.of("resources.gpus.memory", "no GPU of this cluster is said to have that much")
    return min(enough)[1]


def _is_called(name: str, others: list[str], model: str) -> bool:
    return model in {word.lower() for word in (name, *others)}


def _environment(order: Order, settings: SlurmSettings) -> dict[str, str]:
    work = f"{settings.work}/runs" if order.nodes > 1 else settings.scratch
    found = {"SHUNTER_PILOT_WORK": work, "SHUNTER_PILOT_PYTHON": settings.python}
    return {name: value for name, value in found.items() if value}
