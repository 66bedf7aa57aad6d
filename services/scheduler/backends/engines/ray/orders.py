"""Makes the request for a job out of an order: nothing but words, nobody is asked."""

from __future__ import annotations

import math
from typing import Any

from pydantic import ValidationError

from contracts.errors import InvalidError, RefusedError
from services.scheduler.backends.engines.base import Order

from .entry import METADATA, entry_point, sealed_env
from .gpus import GpuDemand
from .options import RayOptions
from .settings import RaySettings

__all__ = ["build", "options_of"]

_EXACT = 10_000
"""Ray counts in parts of this."""
_WAIT = "RAY_JOB_STOP_WAIT_TIME_S"
"""Read by the process that stops the job, from the environment that we give it."""


def options_of(order: Order) -> RayOptions:
    """Return what the job says for Ray, or refuse it."""
    try:
        return RayOptions.model_validate(dict(order.options))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(["placement", "options", "ray", *map(str, first["loc"])])
        raise InvalidError.of(place, first["msg"]) from error


def build(order: Order, options: RayOptions, gpus: GpuDemand, settings: RaySettings) -> dict[str, Any]:
    """Return the request that starts the job. What is not asked for is left out: older versions do not know all."""
    if order.image:
        raise RefusedError("Ray runs no images here: its nodes are containers themselves, or have what is needed")
    if order.nodes > 1:
        raise InvalidError.of("resources.nodes", "a job of Ray starts on one node, and asks Ray for the others itself")
    resources = dict(gpus.resources)
    for name, amount in options.resources.items():
        resources[name] = max(amount, resources.get(name, 0))
    asked = {
        "entrypoint_num_cpus": math.ceil(order.cpus * _EXACT) / _EXACT,
        "entrypoint_num_gpus": _gpus(order, options),
        "entrypoint_memory": order.memory,
        "entrypoint_resources": resources,
        "entrypoint_label_selector": {**gpus.labels, **options.labels},
    }
    return {
        "submission_id": order.name,
        "entrypoint": entry_point(order.launch),
        "metadata": {"job_name": order.title or order.name, METADATA: sealed_env(order.launch)},
        "runtime_env": _runtime_env(options, settings),
        **{name: value for name, value in asked.items() if value},
    }


def _gpus(order: Order, options: RayOptions) -> float:
    if options.gpu_fraction is None:
        return order.gpus
    if order.gpus != 1:
        raise InvalidError.of("placement.options.ray.gpu_fraction", "a share is of one GPU: ask for gpus.count 1")
    return options.gpu_fraction


def _runtime_env(options: RayOptions, settings: RaySettings) -> dict[str, Any]:
    """Return the job's own with our one variable; the same words for all that say nothing, so that Ray can cache."""
    wished = options.runtime_env.model_dump(exclude_defaults=True)
    wished["env_vars"] = {**options.runtime_env.env_vars, _WAIT: str(settings.stop_within)}
    return wished
