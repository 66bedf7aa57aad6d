"""In which order, and by whom, the tests of a run with several processes are run.

Without it xdist begins with the files that have the most tests, which are the quickest; the longest would come last,
one by one on one core.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

import psutil
import pytest
from xdist.scheduler import LoadScopeScheduling

__all__ = ["ByStack", "in_order", "processes"]

_ALONE = ("tests/faults/", "tests/corpus/")
"""Packages whose tests share one stack that takes long to come up: one process runs all of them."""

_ORDER = (
    *_ALONE,
    "tests/e2e/",
    "tests/integration/",
    "tests/contract/",
    "tests/replay/",
    "tests/architecture/",
    "tests/unit/",
)
"""What takes long comes first, so that no process is left with it in the end; unit tests fill up what is left."""


def in_order(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """Return tests in the order in which they are given out; those of a file stay together."""
    return sorted(items, key=lambda item: _place(item.nodeid))


def _place(nodeid: str) -> int:
    return len(list(takewhile(lambda prefix: not nodeid.startswith(prefix), _ORDER)))


def processes() -> int:
    """Return how many are best: one more than cores, for tests wait for each other's servers much of their time."""
    return (psutil.cpu_count() or 1) + 1


class ByStack(LoadScopeScheduling):
    """Gives out files, or all files that share a stack, in the order of the collection."""

    def __init__(self, config: pytest.Config, log: object = None) -> None:
        super().__init__(config, log)  # type: ignore[arg-type]
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return next((package for package in _ALONE if file.startswith(package)), file)
