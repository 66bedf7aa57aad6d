"""Making job specs of YAML documents and of options; whatever is wrong is said before anything is sent."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from contracts.errors import FieldError, InvalidError
from contracts.spec import JobSpec

__all__ = ["checked", "merge", "pairs", "read_documents", "read_inputs", "to_spec"]


_BOOL = "tag:yaml.org,2002:bool"

_M = TypeVar("_M", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """Safe, refuses a key that is given twice, and takes only `true` and `false` for truth: `on` is a field of ours."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in found if tag != _BOOL]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Make a mapping."""
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise InvalidError.of(str(key), f"given twice (line {key_node.start_mark.line + 1})")
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


_Loader.add_implicit_resolver(_BOOL, re.compile("^(true|True|TRUE|false|False|FALSE)$"), list("tTfF"))


def read_documents(file: str) -> list[dict[str, Any]]:
    """Read the YAML (or JSON) documents of a file; `-` is the standard input."""
    text = sys.stdin.read() if file == "-" else Path(file).read_text()
    try:
        documents = [found for found in yaml.load_all(text, Loader=_Loader) if found is not None]
    except yaml.YAMLError as error:
        raise InvalidError(f"{file} is no YAML: {error}") from error
    for found in documents:
        if not isinstance(found, dict):
            raise InvalidError(f"{file}: a spec is a mapping of fields, not {type(found).__name__}")
    if not documents:
        raise InvalidError(f"{file} holds no spec")
    return documents


def to_spec(document: Mapping[str, Any]) -> JobSpec:
    """Check a spec; unknown and wrong fields are named."""
    return checked(JobSpec, document, "the spec")


def checked(kind: type[_M], document: Mapping[str, Any], what: str) -> _M:
    """Make a model of a document; unknown and wrong fields are named."""
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        errors = [
            FieldError(field=".".join(str(part) for part in found["loc"]) or "spec", message=found["msg"])
            for found in error.errors(include_url=False, include_input=False, include_context=False)
        ]
        raise InvalidError(f"{what} is not right; nothing was sent", errors=errors) from error


def merge(document: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Lay what was given as options over a document; mappings are merged, all else replaces."""
    merged = dict(document)
    for name, value in options.items():
        known = merged.get(name)
        merged[name] = merge(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return merged


def pairs(values: Sequence[str], option: str) -> dict[str, str]:
    """Read `K=V` options."""
    found: dict[str, str] = {}
    for value in values:
        name, equals, rest = value.partition("=")
        if not equals or not name:
            raise InvalidError.of(option, f"{value!r} is not of the form K=V")
        found[name] = rest
    return found


def read_inputs(values: Sequence[str]) -> list[dict[str, str]]:
    """Read `source[:target]` options."""
    found = []
    for value in values:
        source, colon, target = value.partition(":")
        found.append({"source": source, "path": target} if colon else {"source": source})
    return found
