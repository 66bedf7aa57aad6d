"""The labels of our containers: by them they are found, told from those of others, and counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.scheduler.backends.engines.base import EngineMeans, Order

__all__ = ["HOLDS", "NAME", "Share", "are_ours", "asked", "labels_of", "of_backend", "share_of"]

NAME = "shunter.name"
HOLDS = "shunter.holds"
"""The native job for which something is made ready."""
_SITE = "shunter.site"
_BACKEND = "shunter.backend"
_CPUS = "shunter.cpus"
_MEMORY = "shunter.memory"
_GPUS = "shunter.gpus"


@dataclass(frozen=True, slots=True)
class Share:
    """What one container may have of its machine."""

    cpus: float
    memory: int
    gpus: tuple[str, ...] = ()


def of_backend(means: EngineMeans) -> dict[str, str]:
    """Return the labels that all containers of a backend have."""
    return {_SITE: means.site, _BACKEND: means.backend}


def labels_of(means: EngineMeans, order: Order, share: Share) -> dict[str, str]:
    """Return the labels of one container."""
    return {
        **of_backend(means),
        NAME: order.name,
        "shunter.owner": order.owner,
        "shunter.project": order.project or "",
        "shunter.title": order.title,
        _CPUS: f"{share.cpus:g}",
        _MEMORY: str(share.memory),
        _GPUS: " ".join(share.gpus),
    }


def are_ours(labels: Mapping[str, str], means: EngineMeans, name: str) -> bool:
    """Say whether a container with *labels* is the native job *name* of this backend."""
    return labels.get(NAME) == name and of_backend(means).items() <= labels.items()


def share_of(labels: Mapping[str, str]) -> Share | None:
    """Return what a container takes of its machine, if it is one of any Shunter's."""
    try:
        return Share(float(labels[_CPUS]), int(labels[_MEMORY]), tuple(labels[_GPUS].split()))
    except (KeyError, ValueError):
        return None


def asked(labels: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the filter of a question for what has *labels*."""
    return {"label": [f"{key}={value}" for key, value in labels.items()]}
