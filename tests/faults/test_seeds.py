"""Drawn work and drawn faults: after each seed every invariant holds. docs/reliability.md has more."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.machine import Seeded, run_seed
from tests.support.fault_stack import FaultStack

__all__: list[str] = []


def test_every_invariant_holds_after_a_drawn_drill(
    fault_stack: FaultStack, seed: int, settle: float, tmp_path: Path
) -> None:
    fault_stack.heal()
    result = run_seed(fault_stack, seed, tmp_path, settle=settle)
    _print(result)
    again = f"again: pytest tests/faults/test_seeds.py --seeds 1 --first-seed {seed}"
    assert result.is_good, "\n".join([*result.why, *result.trace, again])


def _print(result: Seeded) -> None:
    rest = f"at rest after {result.outcome.settled:.1f} s" if result.outcome else "no outcome"
    print(f"seed {result.seed}: {rest}, {result.seconds:.1f} s in all")  # noqa: T201 (shown with -rP or on failure)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test of each seed that the command line wants."""
    if "seed" in metafunc.fixturenames:
        first, count = metafunc.config.getoption("--first-seed"), metafunc.config.getoption("--seeds")
        metafunc.parametrize("seed", range(first, first + count))
