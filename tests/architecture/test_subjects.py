"""Subjects are computed in `contracts.subjects`; nobody types one."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.architecture.sources import Source, sources

_COMPUTED = ("contracts/", "services/scheduler/pilot/subjects.py")
"""The pilot imports nothing of ours; a test compares its subjects with those of the contracts."""

_PREFIXES = ("commands.", "events.", "tasks.", "runs.", "logs.", "queries.", "control.")


def test_no_subject_is_typed_by_hand() -> None:
    typed = [
        f"{source.at(node)} {node.value!r}"
        for source in sources()
        if not source.name.startswith(_COMPUTED)
        for node in _strings(source)
    ]
    assert typed == [], f"use a function of contracts.subjects instead of these: {typed}"


def _strings(source: Source) -> Iterator[ast.Constant]:
    prose = _docstrings(source)
    begun = {id(node.values[0]) for node in ast.walk(source.tree) if isinstance(node, ast.JoinedStr) and node.values}
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            text = node.value
            # A bare prefix is a question about where a message came from, unless an f-string goes on from it.
            complete = text not in _PREFIXES or id(node) in begun
            if complete and text.startswith(_PREFIXES) and " " not in text:
                yield node


def _docstrings(source: Source) -> set[int]:
    return {id(node.value) for node in ast.walk(source.tree) if isinstance(node, ast.Expr)}
