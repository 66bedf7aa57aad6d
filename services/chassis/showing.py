"""Events as whoever may see them sees them: without what is a service's own, and without secrets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from contracts.envelope import Envelope, type_of
from contracts.events import FileDeleted, FileRefused, FileStored, ScheduleChanged, ScheduleCreated, WorkloadAccepted
from contracts.file_events import FileMoved
from contracts.hook_events import SubscriptionChanged, SubscriptionCreated

__all__ = ["shown"]

_OBJECTS = {"key", "upload", "restored_from"}


def shown(envelope: Envelope) -> Envelope:
    """Return the event as its owner may read it."""
    show = _SHOWN.get(envelope.type)
    if show is None:
        return envelope
    data = show(envelope.data)
    return envelope if data is envelope.data else envelope.model_copy(update={"data": data})


def _file(data: dict[str, Any]) -> dict[str, Any]:
    """Leave out which object holds the bytes, and what brought it."""
    return {name: value for name, value in data.items() if name not in _OBJECTS}


def _accepted(data: dict[str, Any]) -> dict[str, Any]:
    if isinstance(data.get("inputs"), list):
        data = {**data, "inputs": [_file(item) for item in data["inputs"] if isinstance(item, dict)]}
    spec = data.get("spec")
    if not isinstance(spec, dict):
        return data
    if spec.get("array"):
        spec = {**spec, "array": _without_items(spec["array"])}
    return {**data, "spec": _job(spec)}


def _without_items(array: dict[str, Any]) -> dict[str, Any]:
    """Leave out megabytes that each task shows its own part of."""
    items = array.get("items")
    return array if items is None else {**array, "items": None, "count": len(items), "listed": True}


def _job(spec: dict[str, Any]) -> dict[str, Any]:
    for name, hidden in (("callback", "secret"), ("notify", "own")):
        if isinstance(found := spec.get(name), dict):
            spec = {**spec, name: _without(found, hidden)}
    return spec


def _without(found: dict[str, Any], hidden: str) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name != hidden}


def _schedule(data: dict[str, Any]) -> dict[str, Any]:
    spec = data.get("spec")
    if isinstance(spec, dict) and isinstance(spec.get("job"), dict):
        return {**data, "spec": {**spec, "job": _job(spec["job"])}}
    return data


def _subscription(data: dict[str, Any]) -> dict[str, Any]:
    spec = data.get("spec")
    return {**data, "spec": _without(spec, "secret")} if isinstance(spec, dict) else data


_SHOWN: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    type_of(FileStored): _file,
    type_of(FileDeleted): _file,
    type_of(FileMoved): _file,
    type_of(FileRefused): _file,
    type_of(WorkloadAccepted): _accepted,
    type_of(ScheduleCreated): _schedule,
    type_of(ScheduleChanged): _schedule,
    type_of(SubscriptionCreated): _subscription,
    type_of(SubscriptionChanged): _subscription,
}
