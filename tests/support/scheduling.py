"""In which order, and by whom, the tests of a run with several processes are run.

Without it xdist begins with the files that have the most tests, which are the quickest; the longest would come last,
one by one on one core.
"""

from __future__ import annotations

import gc
from itertools import takewhile

import psutil
import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

__all__ = [
    "ByStack",
    "pytest_collection",
    "pytest_collection_finish",
    "pytest_collection_modifyitems",
    "pytest_xdist_auto_num_workers",
    "pytest_xdist_make_scheduler",
]

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


def pytest_collection() -> None:
    """Look for no garbage while tests are imported: hardly anything is, and looking takes a third of the time."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Leave what was imported out of all later looks for garbage: it is half a million objects, and they stay."""
    gc.enable()
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put tests into the order in which they are given out; those of a file stay together."""
    items.sort(key=lambda item: _place(item.nodeid))


def _place(nodeid: str) -> int:
    return len(list(takewhile(lambda prefix: not nodeid.startswith(prefix), _ORDER)))


@pytest.hookimpl(tryfirst=True, optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Use one process more than there are cores: tests wait for servers much of their time."""
    return (psutil.cpu_count(logical=False) or psutil.cpu_count() or 1) + 1


@pytest.hookimpl(tryfirst=True, optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Give tests out in that order."""
    config.option.loadscopereorder = False
    return ByStack(config, log)


class ByStack(LoadScopeScheduling):  # type: ignore[misc]  # xdist does not say that it has types
    """Gives out files, or all files that share a stack."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return next((package for package in _ALONE if file.startswith(package)), file)
