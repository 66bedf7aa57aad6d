"""YAML as users write it: safe, bounded, and every place in it has a line."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from .errors import FieldError, InvalidError

__all__ = ["Document", "checked", "read_documents"]

_MOST_VALUES = 500_000
"""Values of one document when every alias is written out; a few lines of YAML can mean more than any machine holds."""

_DEEPEST = 100

_BOOL = "tag:yaml.org,2002:bool"
_MERGE = "tag:yaml.org,2002:merge"

_M = TypeVar("_M", bound=BaseModel)
_Parser: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Parser):  # type: ignore[misc]  # which of the two it is shows when it runs
    """Safe, refuses a key that is given twice, and takes only `true` and `false` for truth: `on` is a field of ours."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in found if tag != _BOOL]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Make a mapping."""
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            if key_node.tag == _MERGE:
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise InvalidError(f"line {key_node.start_mark.line + 1}: a key must be a word")
            if key in seen:
                raise InvalidError.of(str(key), f"given twice (line {key_node.start_mark.line + 1})")
            seen.add(key)
        found: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return found


_Loader.add_implicit_resolver(_BOOL, re.compile("^(true|True|TRUE|false|False|FALSE)$"), list("tTfF"))


class Document:
    """One document: its fields, and where they stand."""

    def __init__(self, value: dict[str, Any], node: yaml.Node | None = None) -> None:
        self.value = value
        self._node = node

    def line_of(self, place: Sequence[str | int]) -> int | None:
        """Return the line of a field, or of the nearest thing round it."""
        node = self._node
        for step in place:
            inner = _inner(node, step)
            if inner is None:
                break
            node = inner
        return None if node is None else int(node.start_mark.line) + 1


def _inner(node: yaml.Node | None, step: str | int) -> yaml.Node | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        found: yaml.Node = node.value[step]
        return found
    if isinstance(node, yaml.MappingNode):
        # What was merged in stands before what the mapping says itself.
        return next((value for key, value in reversed(node.value) if key.value == str(step)), None)
    return None


def read_documents(text: str, what: str = "the body") -> list[Document]:
    """Read the YAML (or JSON) documents of a text; each is a mapping of fields."""
    try:
        _require_shallow(text, what)
        loader = _Loader(text)
    except (yaml.YAMLError, UnicodeError) as error:
        raise InvalidError(f"{what} is no YAML: {error}") from error
    found: list[Document] = []
    try:
        while loader.check_node():
            node = loader.get_node()
            _require_modest(node, what)
            value = loader.construct_document(node)
            if value is None:
                continue
            if not isinstance(value, dict):
                raise InvalidError(f"{what}: a document is a mapping of fields, not {type(value).__name__}")
            found.append(Document(value, node))
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError) as error:
        raise InvalidError(f"{what} is no YAML: {error}") from error
    finally:
        loader.dispose()
    if not found:
        raise InvalidError(f"{what} holds no spec")
    return found


def _require_shallow(text: str, what: str) -> None:
    """Refuse what is too deep before it is built: libyaml's own builder would take the whole process with it."""
    depth = 0
    for event in yaml.parse(text, Loader=_Parser):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _DEEPEST:
                raise InvalidError(f"{what}: deeper than {_DEEPEST} levels")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _require_modest(root: yaml.Node, what: str) -> None:
    """Refuse what is too deep, holds itself, or would be too much if every alias were written out."""
    sizes: dict[int, int] = {}

    def size(node: yaml.Node, depth: int) -> int:
        if depth > _DEEPEST:
            raise InvalidError(f"{what}: line {node.start_mark.line + 1}: deeper than {_DEEPEST} levels, or in itself")
        if id(node) not in sizes:
            total = 1
            for inner in _parts(node):
                total += size(inner, depth + 1)
            sizes[id(node)] = total
        return sizes[id(node)]

    if size(root, 0) > _MOST_VALUES:
        raise InvalidError(f"{what} holds more than {_MOST_VALUES} values, counting aliases")


def _parts(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def checked(kind: type[_M], value: Mapping[str, Any], what: str, document: Document | None = None) -> _M:
    """Make a model of a document; unknown and wrong fields are named, with their lines where those are known."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        errors = [
            FieldError(
                field=".".join(str(part) for part in found["loc"]) or "spec",
                message=f"{found['msg']}{_at(document, found['loc'])}",
            )
            for found in error.errors(include_url=False, include_input=False, include_context=False)[:100]
        ]
        raise InvalidError(f"{what} is not right; nothing was sent", errors=errors) from error


def _at(document: Document | None, place: Sequence[str | int]) -> str:
    line = document.line_of(place) if document else None
    return f" (line {line})" if line else ""
