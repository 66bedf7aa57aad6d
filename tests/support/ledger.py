"""The ledger of contracts: what a JSON Schema promises, and which of two changes would break a reader or writer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["breaks_between"]

Schema = dict[str, Any]

_BOUNDS = {
    "minimum": -1,
    "exclusiveMinimum": -1,
    "minLength": -1,
    "minItems": -1,
    "minProperties": -1,
    "maximum": 1,
    "exclusiveMaximum": 1,
    "maxLength": 1,
    "maxItems": 1,
    "maxProperties": 1,
}
"""Limits, and in which direction a new value must go to let in all that was let in before."""


def breaks_between(old: Schema, new: Schema) -> list[str]:
    """Name, in words, each change from *old* to *new* that somebody who knows only *old* would stumble over."""
    return sorted(set(_models(old, new)))


def _models(old: Schema, new: Schema) -> Iterator[str]:
    before, after = _definitions(old), _definitions(new)
    for name, schema in before.items():
        if name not in after:
            yield f"removed {name}"
            continue
        yield from _definition(name, schema, after[name])


def _definitions(schema: Schema) -> dict[str, Schema]:
    """Return every model by its name; that of the message itself is its title."""
    root = {key: value for key, value in schema.items() if key != "$defs"}
    return {str(schema.get("title", "")): root, **schema.get("$defs", {})}


def _definition(name: str, old: Schema, new: Schema) -> Iterator[str]:
    if "enum" in old or "const" in old:
        if not _values(old) <= _values(new):
            yield f"changed values of {name}"
        return
    if "properties" not in old:
        yield from _field(name, old, new)
        return
    fields, now = old["properties"], new.get("properties", {})
    for field, schema in fields.items():
        if field not in now:
            yield f"removed {_place(name, field, old)}"
        else:
            yield from _field(_place(name, field, old), schema, now[field])
    for field in set(new.get("required", [])) - set(old.get("required", [])):
        yield f"newly required {_place(name, field, old)}"


def _place(name: str, field: str, owner: Schema) -> str:
    # A field of the message itself stands alone; that of a part is named with it.
    return field if owner.get("x-message") else f"{name}.{field}"


def _field(place: str, old: Schema, new: Schema) -> Iterator[str]:
    wanted, given = _types(old), _types(new)
    if not wanted <= given:
        closed = {kind for kind in wanted - given if kind.startswith("value ")}
        yield f"changed values of {place}" if closed == wanted - given else f"changed type of {place}"
        return
    for one, other in _pairs(old, new):
        if _is_narrower(one, other):
            yield f"narrowed {place}"
        for key in ("items", "additionalProperties"):
            if isinstance(one.get(key), dict):
                yield from _field(place, one[key], other.get(key) or {})


def _types(schema: Schema) -> set[str]:
    """Return what a value may be: its types, the models it may follow, the values it is one of."""
    if not schema:
        return {"string", "number", "integer", "boolean", "object", "array", "null"}
    options = schema.get("anyOf") or schema.get("oneOf")
    if options:
        return set().union(*(_types(option) for option in options))
    if "$ref" in schema:
        return {schema["$ref"].rpartition("/")[2]}
    if "enum" in schema or "const" in schema:
        return {f"value {value!r}" for value in _values(schema)}
    kind = schema.get("type", "object")
    # Every integer is a number: widening is no break.
    return {"integer", "number"} if kind == "number" else {str(kind)}


def _pairs(old: Schema, new: Schema) -> Iterator[tuple[Schema, Schema]]:
    """Yield each option of *old* beside the option of *new* that takes its place."""
    for one in old.get("anyOf") or [old]:
        for other in new.get("anyOf") or [new]:
            if one.get("type") is not None and one.get("type") == other.get("type"):
                yield one, other
                break


def _is_narrower(old: Schema, new: Schema) -> bool:
    if new.get("pattern") not in {None, old.get("pattern")} or new.get("format") not in {None, old.get("format")}:
        return True
    for key, direction in _BOUNDS.items():
        if key in new and (key not in old or (new[key] - old[key]) * direction < 0):
            return True
    return False


def _values(schema: Schema) -> set[Any]:
    return set(schema["enum"]) if "enum" in schema else {schema["const"]} if "const" in schema else set()
