"""One stack with a fault proxy for the tests of faults; each leaves it healed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.faults.drill import Drill
from tests.support.fault_stack import FaultStack, run_fault_stack
from tests.support.fixtures import bus, runner

__all__ = ["bus", "runner"]

_numbers = count()
_HERE = Path(__file__).parent
_LONGEST = 400
"""Seconds for one test, the start of the stack on a slow machine and a settle that fails included."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of faults more time than others have."""
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.timeout(_LONGEST))


@pytest.fixture(scope="session")
def fault_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultStack]:
    """A stack whose parts and links can be broken."""
    with run_fault_stack(tmp_path_factory.mktemp("faults")) as running:
        yield running


@pytest.fixture
def settle(request: pytest.FixtureRequest) -> float:
    """Seconds within which all must come to rest."""
    return float(request.config.getoption("--settle"))


@pytest.fixture
def drill(fault_stack: FaultStack, tmp_path: Path, settle: float) -> Drill:
    """Work and faults on that stack; `reckon` heals it and checks everything."""
    fault_stack.heal()
    return Drill(fault_stack, f"d{next(_numbers)}", tmp_path, settle)
