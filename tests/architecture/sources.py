"""The sources that the rules of the house are about."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["PACKAGES", "ROOT", "Source", "sources"]

ROOT = Path(__file__).parents[2]
PACKAGES = ("contracts", "services", "shunter", "deploy")


@dataclass(frozen=True, slots=True)
class Source:
    """One module."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def name(self) -> str:
        """Return its path in the repository, for messages."""
        return str(self.path.relative_to(ROOT))

    @property
    def is_empty_by_rule(self) -> bool:
        """Say whether it is an `__init__.py`."""
        return self.path.name == "__init__.py"

    def at(self, node: ast.stmt | ast.expr) -> str:
        """Return a place in it, for messages."""
        return f"{self.name}:{node.lineno}"


@cache
def sources() -> tuple[Source, ...]:
    """Return every module of ours; tests and benchmarks are not meant."""
    return tuple(_read())


def _read() -> Iterator[Source]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            text = path.read_text()
            yield Source(path, text, ast.parse(text))
