"""The published schemas of Kubernetes' API, against which every object is checked that anybody makes."""

from __future__ import annotations

import json
import re
from functools import cache
from importlib import resources
from typing import Any, Final

from jsonschema import Draft7Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

__all__ = ["VERSION", "faults_of"]

VERSION: Final = "1.36"
_FOLDER: Final = f"v{VERSION}.0-local-strict"


def faults_of(item: dict[str, Any]) -> list[dict[str, str]]:
    """Return what is wrong with an object, by field; fields that do not exist are wrong too."""
    shape = _shape(item)
    if shape in _GOOD:
        return []
    validator = _validator(item["apiVersion"], item["kind"])
    found = [
        {"field": ".".join(str(part) for part in error.absolute_path), "message": error.message}
        for error in validator.iter_errors(item)
    ]
    if not found:
        _GOOD.add(shape)
    return found


_GOOD: Final[set[object]] = set()
"""Shapes of objects that were found good: checking takes 0.1 s."""


def _shape(value: Any) -> object:
    if isinstance(value, dict):
        return tuple((key, item if key in {"kind", "apiVersion"} else _shape(item)) for key, item in value.items())
    return tuple(_shape(item) for item in value) if isinstance(value, list) else type(value)


@cache
def _validator(version: str, kind: str) -> Draft7Validator:
    group = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", version)
    schema = _read(f"{kind.lower()}-{group}.json")
    return Draft7Validator(schema, registry=_definitions())


@cache
def _definitions() -> Registry[Any]:
    resource = Resource.from_contents(_read("_definitions.json"), default_specification=DRAFT7)
    found: Registry[Any] = Registry().with_resource("_definitions.json", resource)
    return found


def _read(name: str) -> dict[str, Any]:
    folder = resources.files("kubernetes_validate").joinpath("kubernetes-json-schema", _FOLDER)
    content: dict[str, Any] = json.loads(folder.joinpath(name).read_text())
    return content
