"""Loads the NATS library without the half of it that the pilot does not use: a short job is begun sooner."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from typing import Any

__all__ = ["put_off", "without"]


class _Later:
    """Finds some modules so that they are run when something of them is asked for first."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Return how a module is loaded; none if another finder is to say it."""
        found = PathFinder.find_spec(name, path, target) if name in self._names else None
        # Archives are not loaded that way before Python 3.10; then it is loaded at once.
        if found is not None and found.loader is not None and hasattr(found.loader, "exec_module"):
            found.loader = LazyLoader(found.loader)
        return found


def put_off(*names: str) -> None:
    """Have modules loaded when they are used, not when they are imported."""
    sys.meta_path.insert(0, _Later(frozenset(names)))


@contextmanager
def without(name: str) -> Iterator[None]:
    """Have a module pass for one that is not there, for a library that can do without it."""
    before = sys.modules.get(name)
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if before is None:
            del sys.modules[name]
        else:
            sys.modules[name] = before
