"""The table of moves is total, and every workload can come to an end."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from contracts.states import MOVES, TERMINAL, WorkloadState, may_move

S = WorkloadState


def _reachable(start: WorkloadState, moves: Mapping[WorkloadState, frozenset[WorkloadState]]) -> set[WorkloadState]:
    found: set[WorkloadState] = set()
    todo = [start]
    while todo:
        for state in moves[todo.pop()] - found:
            found.add(state)
            todo.append(state)
    return found


def test_every_state_stands_in_the_table() -> None:
    assert set(MOVES) == set(WorkloadState)


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_nothing_leaves_a_terminal_state(state: WorkloadState) -> None:
    assert MOVES[state] == frozenset()
    assert state.is_terminal


@pytest.mark.parametrize("state", sorted(set(WorkloadState) - TERMINAL))
def test_every_other_state_can_end_in_every_way(state: WorkloadState) -> None:
    assert _reachable(state, MOVES) >= TERMINAL
    assert MOVES[state] >= TERMINAL - {S.SUCCEEDED}
    assert not state.is_terminal


def test_every_state_can_be_reached_from_the_first() -> None:
    assert _reachable(S.ACCEPTED, MOVES) == set(WorkloadState)


def test_a_workload_succeeds_only_after_it_has_finished() -> None:
    assert [state for state in WorkloadState if may_move(state, S.SUCCEEDED)] == [S.FINISHING]


def test_a_new_attempt_begins_in_the_queue() -> None:
    again = {state for state in WorkloadState if may_move(state, S.QUEUED)}
    assert again == set(WorkloadState) - TERMINAL
