"""Which GPUs the nodes have, and how a model of them is asked for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from contracts.errors import RefusedError
from services.scheduler.backends.engines.base import Order

from .answers import RayNode
from .settings import GpuModel

__all__ = ["GpuDemand", "GpuKinds"]

_RESOURCE = "accelerator_type:"
"""Ray gives a node one such resource, by what it found."""
_LABEL = "ray.io/accelerator-type"
_TOUCH = 0.001
"""How much of that resource one takes who only wants to be there."""


@dataclass(frozen=True, slots=True)
class GpuDemand:
    """What a job has to ask for so that it gets the model it wants."""

    resources: Mapping[str, float] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


class GpuKinds:
    """The models of a cluster: those that the site names, and those that nodes have said of themselves so far."""

    def __init__(self, named: Mapping[str, GpuModel]) -> None:
        self._named = dict(named)
        self._found: dict[str, GpuDemand] = {}

    def learn(self, nodes: Iterable[RayNode]) -> None:
        """Remember what nodes say of themselves; one that is away for a while comes back."""
        for node in nodes:
            if model := node.labels.get(_LABEL):
                self._found[model] = GpuDemand(labels={_LABEL: model})
            for resource in node.resources_total:
                if resource.startswith(_RESOURCE):
                    self._found[resource.removeprefix(_RESOURCE)] = GpuDemand(resources={resource: _TOUCH})

    def of(self, node: RayNode) -> tuple[str, ...]:
        """Return the models of a node."""
        if not node.resources_total.get("GPU"):
            return ()
        named = [name for name, model in self._named.items() if _is_of(node, model)]
        found = [name for name, demand in self._found.items() if _offers(node, demand)]
        return tuple(dict.fromkeys(named + found))

    def memory_of(self, node: RayNode) -> int:
        """Return the memory of one GPU of a node, as far as the site says it."""
        return max((self._named[name].memory or 0 for name in self.of(node) if name in self._named), default=0)

    def demand(self, order: Order) -> GpuDemand:
        """Say what an order has to ask for; refuses a model that nobody has ever heard of."""
        if not order.gpus or not (order.gpu_model or order.gpu_memory):
            return GpuDemand()
        for name, model in self._named.items():
            if _suits(name, order) and (model.memory or 0) >= (order.gpu_memory or 0):
                each = {resource: amount * order.gpus for resource, amount in model.resources.items()}
                return GpuDemand(each, model.labels)
        if not order.gpu_memory:
            for name, demand in self._found.items():
                if _suits(name, order):
                    return demand
        raise RefusedError(self._unknown(order))

    def _unknown(self, order: Order) -> str:
        known = ", ".join(dict.fromkeys([*self._named, *self._found])) or "none by name"
        memory = f" with {order.gpu_memory} bytes" if order.gpu_memory else ""
        return f"this Ray cluster has no GPU {order.gpu_model or ''}{memory}: it knows {known} (ray.gpu_models)"


def _plain(model: str) -> str:
    return re.sub(r"[^a-z0-9]", "", model.lower())


def _suits(name: str, order: Order) -> bool:
    return not order.gpu_model or _plain(order.gpu_model) in _plain(name)


def _is_of(node: RayNode, model: GpuModel) -> bool:
    has = all(node.resources_total.get(name, 0) > 0 for name in model.resources)
    return has and all(node.labels.get(name) == value for name, value in model.labels.items())


def _offers(node: RayNode, demand: GpuDemand) -> bool:
    has = all(node.resources_total.get(name, 0) > 0 for name in demand.resources)
    return has and all(node.labels.get(name) == value for name, value in demand.labels.items())
