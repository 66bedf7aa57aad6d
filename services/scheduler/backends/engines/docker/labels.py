"""The labels of our containers: by them they are found, told from those of others, counted, and put in order."""

from __future__ import annotations

from collections.abc import Mapping

from services.scheduler.backends.engines.base import EngineMeans, Order

from .room import Wants

__all__ = [
    "GPUS",
    "NAME",
    "RUNS",
    "STAGE",
    "WAITS",
    "are_ours",
    "asked",
    "gpus_of",
    "labels_of",
    "of_backend",
    "priority_of",
    "wants_of",
]

NAME = "shunter.name"
STAGE = "shunter.stage"
WAITS, RUNS = "waits", "runs"
"""A container waits as one that is never started; another one with its volumes runs."""
GPUS = "shunter.gpus"
"""Which it has."""
_PRIORITY = "shunter.priority"
_SITE = "shunter.site"
_BACKEND = "shunter.backend"
_WANTS = "shunter.wants."


def of_backend(means: EngineMeans) -> dict[str, str]:
    """Return the labels that everything of a backend has."""
    return {_SITE: means.site, _BACKEND: means.backend}


def labels_of(means: EngineMeans, order: Order, wants: Wants) -> dict[str, str]:
    """Return the labels of a container that waits."""
    return {
        **of_backend(means),
        NAME: order.name,
        STAGE: WAITS,
        "shunter.owner": order.owner,
        "shunter.project": order.project or "",
        "shunter.title": order.title,
        _PRIORITY: str(order.priority),
        **{f"{_WANTS}{key}": value for key, value in wants.texts().items()},
    }


def are_ours(labels: Mapping[str, str], means: EngineMeans, name: str) -> bool:
    """Say whether a container with *labels* is the native job *name* of this backend."""
    return labels.get(NAME) == name and of_backend(means).items() <= labels.items()


def wants_of(labels: Mapping[str, str]) -> Wants:
    """Return what a container of any Shunter wants of its machine; nothing if it does not say."""
    texts = {key.removeprefix(_WANTS): value for key, value in labels.items() if key.startswith(_WANTS)}
    return Wants.read(texts)


def gpus_of(labels: Mapping[str, str]) -> tuple[str, ...]:
    """Return the GPUs that a container has."""
    return tuple(labels.get(GPUS, "").split())


def asked(labels: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the filter of a question for what has *labels*; an empty one may have any value."""
    return {"label": [f"{key}={value}" if value else key for key, value in labels.items()]}


def priority_of(labels: Mapping[str, str]) -> int:
    """Return the priority of a container among those that wait."""
    try:
        return int(labels.get(_PRIORITY, 0))
    except ValueError:
        return 0
