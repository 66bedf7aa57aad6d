"""Pilots are told, told again, and at last their jobs are ended."""

from __future__ import annotations

from services.scheduler.backends.engines.base import NativeState, Seen
from services.scheduler.backends.engines.slurm.farewells import Farewells


def _seen(state: NativeState) -> Seen:
    return Seen(f"s1-{state.value}", state.value, state)


def test_what_waits_is_taken_out_and_what_runs_is_told_first() -> None:
    moment = 100.0
    farewells = Farewells(20, clock=lambda: moment)
    those = [_seen(state) for state in NativeState]
    assert farewells.sort(those) == (["running"], ["waiting"])
    assert farewells.sort(those) == ([], ["waiting"])
    assert farewells.names() == ["s1-waiting", "s1-running"]
    moment = 106.0
    assert farewells.sort(those[1:]) == (["running"], [])
    moment = 121.0
    assert farewells.sort(those[1:]) == ([], ["running"])
    farewells.keep({"s1-other"})
    assert farewells.names() == []
