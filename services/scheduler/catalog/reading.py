"""Reads an `application_config.yaml`; whatever is wrong in it is told with its line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from contracts.catalog import Applications, CatalogFault, Entrypoint

__all__ = ["BrokenCatalogError", "read_catalog"]

_LARGEST = 2**20
"""Bytes."""
_MOST_NODES = 200_000
"""Aliases may stand for others that hold aliases: what a file says can be far larger than the file."""
_DEEPEST = 16
_NAMED = 50
"""Faults that are told; more help nobody."""

_FILE = TypeAdapter(Applications)

Books = dict[str, dict[str, dict[str, Entrypoint]]]


class BrokenCatalogError(Exception):
    """The file cannot be used."""

    def __init__(self, faults: list[CatalogFault]) -> None:
        super().__init__("; ".join(f"line {fault.line}: {fault.message}" for fault in faults[:3]))
        self.faults = faults


def read_catalog(raw: bytes) -> Books:
    """Return the applications of a file; raises `BrokenCatalogError`."""
    if len(raw) > _LARGEST:
        raise _broken(None, f"the file has {len(raw)} bytes; at most {_LARGEST} are read")
    root = _parse(raw)
    if root is None:
        return {}
    reader = _Reader()
    plain = reader.value(root)
    faults = reader.faults
    try:
        books = _FILE.validate_python(plain, strict=True)
    except ValidationError as error:
        faults = faults + [_fault(root, item) for item in error.errors(include_url=False, include_input=False)]
    if faults:
        raise BrokenCatalogError(sorted(faults[:_NAMED], key=lambda fault: fault.line or 0))
    return books


def _parse(raw: bytes) -> yaml.Node | None:
    try:
        return yaml.compose(raw.decode(), Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        raise _broken(raw[: error.start].count(b"\n") + 1, "the file is not UTF-8") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _broken(mark.line + 1 if mark else None, f"no YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise _broken(None, f"no YAML: {error}") from error


class _Reader(yaml.constructor.SafeConstructor):
    """Makes plain values of nodes. Names are texts whatever they look like: a version may be called 1.0."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[CatalogFault] = []
        self._nodes = 0

    def value(self, node: yaml.Node, depth: int = 0) -> Any:
        """Return what a node says."""
        self._nodes += 1
        if depth > _DEEPEST or self._nodes > _MOST_NODES:
            raise _broken(_line(node), "there is too much in it, or something holds itself")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, depth + 1) for item in node.value]
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, depth: int) -> dict[str, Any]:
        self._refuse_twins(node)
        self.flatten_mapping(node)  # `<<`
        return {str(key.value): self.value(value, depth + 1) for key, value in node.value}

    def _refuse_twins(self, node: yaml.MappingNode) -> None:
        seen: set[str] = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in seen:
                self.faults.append(CatalogFault(line=_line(key), field=name[:100], message="it stands here twice"))
            seen.add(name)

    def _scalar(self, node: yaml.Node) -> Any:
        try:
            return self.construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            what = getattr(error, "problem", None) or str(error)
            raise _broken(_line(node), f"no YAML that is known here: {what}") from error


def _fault(root: yaml.Node, error: Any) -> CatalogFault:
    place = tuple(part for part in error["loc"] if part != "[key]")
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        message = "there is no such field"
    return CatalogFault(line=_line(_find(root, place)), field=".".join(map(str, place))[:500], message=message[:500])


def _find(node: yaml.Node, place: Sequence[str | int]) -> yaml.Node:
    """Return the node that a place names, or the last one on the way to it; of a field it is its name."""
    shown = node
    for part in place:
        if isinstance(node, yaml.MappingNode):
            pairs = [pair for pair in node.value if str(pair[0].value) == str(part)]
            if not pairs:
                break
            shown, node = pairs[-1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            shown = node = node.value[part]
        else:
            break
    return shown


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _broken(line: int | None, message: str) -> BrokenCatalogError:
    return BrokenCatalogError([CatalogFault(line=line, message=message[:500])])
