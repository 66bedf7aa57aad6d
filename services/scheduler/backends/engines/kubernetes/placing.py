"""Onto which nodes a native job may go: what its GPUs are called here, selectors, taints, and what a job may choose."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from contracts.errors import InvalidError, RefusedError
from services.scheduler.backends.engines.base import Order

from .settings import Gpus, KubernetesOptions, KubernetesSettings

__all__ = ["Placing", "gpu_models", "placing", "plain", "resources_of_gpus"]

_GONE = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


@dataclass(frozen=True, slots=True)
class Placing:
    """What a pod says of its node."""

    gpu_resource: str
    node_selector: dict[str, str] = field(default_factory=dict)
    affinity: dict[str, Any] = field(default_factory=dict)
    tolerations: list[dict[str, Any]] = field(default_factory=list)


def plain(model: str) -> str:
    """Return a model's name so that ways of writing it do not count."""
    return re.sub(r"[^a-z0-9]", "", model.lower())


def gpu_models(settings: KubernetesSettings, labels: Iterable[str]) -> list[str]:
    """Return the models of this cluster: those that the site named, and those that nodes say they have."""
    return sorted({*settings.gpus, *(label for label in labels if label)})


def resources_of_gpus(settings: KubernetesSettings) -> frozenset[str]:
    """Return what GPUs are called by the device plugins."""
    return frozenset({settings.gpu_resource, *(kind.resource for kind in settings.gpus.values())})


def placing(settings: KubernetesSettings, options: KubernetesOptions, order: Order, labels: Iterable[str]) -> Placing:
    """Say onto which nodes an order may go. *labels* are the models that nodes say they have."""
    _check_choice(settings, options)
    gpus, among = _gpus(settings, order, sorted(set(labels)))
    wanted: list[dict[str, Any]] = []
    if among:
        wanted.append({"key": settings.gpu_label, "operator": "In", "values": among})
    if order.gpus and order.gpu_memory:
        least = -(-order.gpu_memory // 2**20) - 1
        wanted.append({"key": settings.gpu_memory_label, "operator": "Gt", "values": [str(least)]})
    tolerations = [
        item.model_dump(exclude_none=True)
        for item in (*settings.tolerations, *(gpus.tolerations if order.gpus else ()))
    ]
    return Placing(
        gpu_resource=gpus.resource,
        node_selector=settings.node_selector | (gpus.node_selector if order.gpus else {}) | options.node_selector,
        affinity=_required(wanted),
        tolerations=tolerations + [_until(taint, settings.lost_after) for taint in _GONE],
    )


def _gpus(settings: KubernetesSettings, order: Order, labels: list[str]) -> tuple[Gpus, list[str]]:
    """Return how GPUs are asked for, and the labels of nodes that have them, if the model is told by a label."""
    usual = Gpus(resource=settings.gpu_resource)
    if not order.gpus or not order.gpu_model:
        return usual, []
    wanted = plain(order.gpu_model)
    for model, gpus in settings.gpus.items():
        if wanted in plain(model):
            return gpus, []
    among = [label for label in labels if wanted in plain(label)]
    if not among:
        there = ", ".join(gpu_models(settings, labels)) or "none"
        raise RefusedError(f"this cluster has no GPU {order.gpu_model!r}; it has: {there}")
    return usual, among


def _required(expressions: list[dict[str, Any]]) -> dict[str, Any]:
    if not expressions:
        return {}
    terms = [{"matchExpressions": expressions}]
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}


def _until(taint: str, seconds: int) -> dict[str, Any]:
    return {"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds}


def _check_choice(settings: KubernetesSettings, options: KubernetesOptions) -> None:
    """Refuse what the site does not let jobs choose."""
    for name, chosen, allowed in (
        ("queue", options.queue, [*settings.queues, settings.queue]),
        ("priority_class", options.priority_class, [*settings.priority_classes, settings.priority_class]),
    ):
        if chosen is not None and chosen not in allowed:
            raise InvalidError.of(f"placement.options.kubernetes.{name}", _instead([word for word in allowed if word]))
    for key in options.node_selector:
        if key not in settings.selectable:
            raise InvalidError.of(f"placement.options.kubernetes.node_selector.{key}", _instead(settings.selectable))


def _instead(allowed: list[str]) -> str:
    return f"this cluster allows: {', '.join(allowed)}" if allowed else "this cluster leaves no choice here"
