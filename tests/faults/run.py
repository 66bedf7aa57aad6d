"""Runs many seeds by hand: `python -m tests.faults.run --seeds 200 --first 1`. One line for each."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from tests.support.fault_stack import FaultStack, run_fault_stack

from .machine import STEPS, Seeded, run_seed

__all__ = ["main", "run_seeds"]

_SEEDS_PER_STACK = 20
"""Then a fresh one: the log that is read and replayed after each seed grows."""


def run_seeds(
    seeds: range, folder: Path, *, settle: float = 60.0, steps: int = STEPS, per_stack: int = _SEEDS_PER_STACK
) -> Iterator[Seeded]:
    """Run seeds one after another; after a bad one the next has a fresh stack."""
    with ExitStack() as holder:
        stack: FaultStack | None = None
        used = 0
        for number in seeds:
            if stack is None:
                stack = holder.enter_context(run_fault_stack(folder / f"stack-{number}"))
            result = run_seed(stack, number, folder, settle=settle, steps=steps)
            used += 1
            if not result.is_good or used == per_stack:
                holder.close()
                stack, used = None, 0
            yield result


def line_of(result: Seeded) -> str:
    """Return the line of a seed."""
    if result.outcome is None or not result.is_good:
        return f"seed {result.seed}: BROKEN after {result.seconds:.1f} s"
    outcome = result.outcome
    return (
        f"seed {result.seed}: ok, {outcome.jobs} jobs, {outcome.events} events, "
        f"at rest after {outcome.settled:.1f} s, {result.seconds:.1f} s in all"
    )


def main() -> int:
    """Run what the command line says; returns 1 if a seed was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.run", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1, help="how many")
    parser.add_argument("--first", type=int, default=1, help="the first one")
    parser.add_argument("--steps", type=int, default=STEPS, help="rules of one drill")
    parser.add_argument("--settle", type=float, default=60.0, help="seconds within which all must come to rest")
    parser.add_argument("--per-stack", type=int, default=_SEEDS_PER_STACK, help="seeds on one stack")
    parser.add_argument("--trace", action="store_true", help="print what was done, for good seeds too")
    chosen = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="shunter-faults-"))
    bad: list[int] = []
    seeds = range(chosen.first, chosen.first + chosen.seeds)
    options = {"settle": chosen.settle, "steps": chosen.steps, "per_stack": chosen.per_stack}
    for result in run_seeds(seeds, folder, **options):
        _say(line_of(result))
        if chosen.trace or not result.is_good:
            _say("\n".join(result.trace))
        if not result.is_good:
            bad.append(result.seed)
            _say("\n".join(result.why))
            _say(f"again: python -m tests.faults.run --seeds 1 --first {result.seed} --steps {chosen.steps} --trace")
    _say(f"{chosen.seeds} seeds, {len(bad)} broken{f': {bad}; their logs are in {folder}' if bad else ''}")
    if not bad:
        shutil.rmtree(folder, ignore_errors=True)
    return int(bool(bad))


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
