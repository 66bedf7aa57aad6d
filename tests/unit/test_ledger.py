"""Each kind of break is found and named; what only grows passes."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.support.ledger import breaks_between

OLD: dict[str, Any] = {
    "title": "SubmitJob",
    "x-message": "job.submit",
    "type": "object",
    "properties": {
        "backend": {"type": "string", "default": "local", "maxLength": 64},
        "state": {"$ref": "#/$defs/WorkloadState"},
        "resources": {"$ref": "#/$defs/Resources"},
        "limit": {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}], "default": None},
        "tags": {"type": "array", "items": {"type": "string"}, "default": []},
        "mode": {"enum": ["cancel", "observe"], "type": "string"},
    },
    "required": ["state"],
    "$defs": {
        "WorkloadState": {"title": "WorkloadState", "type": "string", "enum": ["queued", "running"]},
        "Resources": {
            "title": "Resources",
            "type": "object",
            "properties": {"gpus": {"type": "integer"}, "cpus": {"type": "number"}},
        },
    },
}


def _limit(minimum: int) -> list[dict[str, Any]]:
    return [{"type": "integer", "minimum": minimum}, {"type": "null"}]


def _new(*path: str, value: object = None) -> dict[str, Any]:
    """Return a copy with the value at *path* replaced, or removed if none is given."""
    changed = copy.deepcopy(OLD)
    place = changed
    for step in path[:-1]:
        place = place[step]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return changed


@pytest.mark.parametrize(
    ("new", "words"),
    [
        (_new("properties", "backend"), "removed backend"),
        (_new("$defs", "Resources", "properties", "gpus"), "removed Resources.gpus"),
        (_new("$defs", "Resources", "properties", "gpus", value={"type": "string"}), "changed type of Resources.gpus"),
        (_new("$defs", "Resources", "properties", "cpus", value={"type": "integer"}), "changed type of Resources.cpus"),
        (_new("properties", "resources", value={"type": "string"}), "changed type of resources"),
        (_new("properties", "limit", value={"type": "integer", "minimum": 1}), "changed type of limit"),
        (_new("properties", "tags", "items", value={"type": "integer"}), "changed type of tags"),
        (_new("required", value=["state", "backend"]), "newly required backend"),
        (_new("$defs", "Resources", "required", value=["cpus"]), "newly required Resources.cpus"),
        (_new("$defs", "WorkloadState", "enum", value=["queued"]), "changed values of WorkloadState"),
        (_new("properties", "mode", "enum", value=["cancel"]), "changed values of mode"),
        (_new("properties", "backend", "maxLength", value=10), "narrowed backend"),
        (_new("properties", "backend", "pattern", value="^[a-z]+$"), "narrowed backend"),
        (
            _new("properties", "limit", "anyOf", value=[{"type": "integer", "minimum": 2}, {"type": "null"}]),
            "narrowed limit",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_break_is_named_in_words(new: dict[str, Any], words: str) -> None:
    assert breaks_between(OLD, new) == [words]


def test_a_new_required_field_is_a_break() -> None:
    new = _new("properties", "cluster", value={"type": "string"})
    new["required"] = ["state", "cluster"]
    assert breaks_between(OLD, new) == ["newly required cluster"]


def test_a_part_that_is_gone_is_a_break_of_every_field_that_held_it() -> None:
    new = _new("$defs", "Resources")
    new["properties"]["resources"] = {"type": "object"}
    assert breaks_between(OLD, new) == ["changed type of resources", "removed Resources"]


def test_several_breaks_are_all_named() -> None:
    new = _new("properties", "backend")
    del new["properties"]["tags"]
    assert breaks_between(OLD, new) == ["removed backend", "removed tags"]


@pytest.mark.parametrize(
    "new",
    [
        OLD,
        _new("properties", "cluster", value={"type": "string", "default": ""}),
        _new("$defs", "Resources", "properties", "disk", value={"type": "integer", "default": 0}),
        _new("$defs", "WorkloadState", "enum", value=["queued", "running", "lost"]),
        _new("properties", "mode", "enum", value=["cancel", "observe", "capacity"]),
        _new("properties", "backend", "maxLength", value=128),
        _new("properties", "backend", value={"anyOf": [{"type": "string"}, {"type": "null"}]}),
        _new("properties", "limit", "anyOf", value=_limit(0)),
        _new("$defs", "Resources", "properties", "gpus", value={"type": "number"}),
        _new("properties", "tags", "items", value={"type": "string", "description": "better words"}),
        _new("required", value=[]),
    ],
)
def test_what_only_grows_breaks_nothing(new: dict[str, Any]) -> None:
    assert breaks_between(OLD, new) == []
