"""The one way in which a workload moves: checked against the table, written as a row, told as an event."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, insert, update

from contracts.errors import ConflictError
from contracts.events import WorkloadMoved
from contracts.model import Model
from contracts.runs import FrozenInput
from contracts.states import HOLDS_ROOM, Reason, WorkloadState, may_move
from contracts.workloads import Allocation, OutputFile, Usage
from services.chassis.unit import Work

from .records import Record, with_inputs
from .schedules.words import ended
from .tables import transitions, workloads

__all__ = ["ENDS_SINK", "Ended", "Journey", "Moved"]

ENDS_SINK = "ends"
"""The sink of the outbox that hears of ends for which others wait. A row's subject is `ended/<id>`."""

_ADD_MOVE = insert(transitions)
_SAVE = update(workloads).where(
    workloads.c.id == bindparam("this_id"), workloads.c.revision == bindparam("read_revision")
)


class Ended(Model):
    """A workload has ended for which others wait."""

    state: WorkloadState


@dataclass(frozen=True, slots=True)
class Moved:
    """The fact that a workload moved, for those of this service who take it into account."""

    row: Record
    """As it stood after the move, or later."""
    old: WorkloadState
    new: WorkloadState


class Journey:
    """One workload inside one transaction: move it as often as needed, then `save`."""

    def __init__(self, work: Work, row: Record) -> None:
        self._work = work
        self._row = row
        self._as_read = dict(row)
        self._moves: list[dict[str, Any]] = []
        self._changed = False

    @property
    def row(self) -> Record:
        """Return the workload as it stands now."""
        return self._row

    @property
    def state(self) -> WorkloadState:
        """Return the present state."""
        return WorkloadState(self._row["state"])

    def note(self, **values: Any) -> None:
        """Change what is no move: signs of life, archived files."""
        self._row.update(values)
        self._changed = True

    def move(
        self,
        new: WorkloadState,
        *,
        at: datetime,
        reason: Reason,
        message: str = "",
        attempt: int | None = None,
        backend: str | None = None,
        native_id: str | None = None,
        exit_code: int | None = None,
        allocation: Allocation | None = None,
        usage: Usage | None = None,
        inputs: list[FrozenInput] | None = None,
        phase: str = "",
    ) -> None:
        """Move to *new*; raises `ConflictError` where the table has no such move."""
        old, row = self.state, self._row
        if not may_move(old, new):
            raise ConflictError(f"{row['id']} cannot go from {old} to {new}")
        at = max(at, row["updated_at"])  # clocks of nodes differ; a history never runs backwards
        opened = allocation if row["allocation"] is None else None
        closed = self._usage_at_end(new, at, usage)
        if attempt is not None and attempt != row["attempt"]:
            row.update(attempt=attempt, allocation=None, usage=None, exit_code=None, seen_at=None, tail="")
        row.update(
            state=new.value,
            reason=reason.value,
            message=message,
            phase=phase,
            revision=row["revision"] + 1,
            updated_at=at,
            backend=backend or row["backend"],
            native_id=native_id or row["native_id"],
        )
        if exit_code is not None:
            row["exit_code"] = exit_code
        if opened:
            row["allocation"] = opened.model_dump(mode="json")
        if closed:
            row["usage"] = closed.model_dump(mode="json")
        if new is WorkloadState.RUNNING and row["started_at"] is None:
            row["started_at"] = at
        if new.is_terminal:
            row["finished_at"] = at
        if inputs is not None:
            row.update(with_inputs(row, inputs))
        self._tell(old, new, opened, closed, inputs)

    def _usage_at_end(self, new: WorkloadState, at: datetime, usage: Usage | None) -> Usage | None:
        """Return the usage that closes the segment, if this move gives the room back."""
        row = self._row
        if new in HOLDS_ROOM or row["allocation"] is None or self.state not in HOLDS_ROOM:
            return None
        if usage is None and row["usage"] is not None:
            usage = Usage.model_validate(row["usage"], extra="ignore")
        if usage is None:  # it got lost before its runner's first word: what is known is when it began
            usage = Usage(wall_seconds=max(0.0, (at - row["updated_at"]).total_seconds()))
        return usage

    def _tell(
        self,
        old: WorkloadState,
        new: WorkloadState,
        opened: Allocation | None,
        closed: Usage | None,
        inputs: list[FrozenInput] | None,
    ) -> None:
        row = self._row
        self._moves.append(
            {
                "workload_id": row["id"],
                **{name: row[name] for name in ("revision", "state", "attempt", "reason", "message")},
                **{name: row[name] for name in ("backend", "native_id", "exit_code")},
                "at": row["updated_at"],
                "allocation": opened.model_dump(mode="json") if opened else None,
                "usage": closed.model_dump(mode="json") if closed else None,
            }
        )
        if new.is_terminal and row.get("schedule_id"):
            self._work.defer(*ended(row["id"]))
        self._work.facts.append(Moved(row, old, new))
        if new.is_terminal and row["awaited"]:
            self._work.defer(ENDS_SINK, f"ended/{row['id']}", Ended(state=new))
        leaves = old is WorkloadState.FINISHING or new.is_terminal
        self._work.send(
            WorkloadMoved(
                workload_id=row["id"],
                owner=row["owner"],
                project=row["project"],
                revision=row["revision"],
                old=old,
                new=new,
                at=row["updated_at"],
                attempt=row["attempt"],
                reason=Reason(row["reason"]),
                message=row["message"],
                backend=row["backend"],
                native_id=row["native_id"],
                exit_code=row["exit_code"],
                allocation=opened,
                usage=closed,
                outputs=[OutputFile.model_validate(item) for item in row["outputs"]] if leaves else [],
                logs=[OutputFile.model_validate(item) for item in row["logs"]] if leaves else [],
                inputs=inputs,
                cause=row["cause"] if row["reason"] == Reason.DEPENDENCY else None,
            )
        )

    def take_moves(self) -> list[dict[str, Any]]:
        """Return the moves of a workload whose row somebody is about to write for the first time."""
        moves, self._moves = self._moves, []
        return moves

    async def save(self) -> None:
        """Write what changed; a workload that somebody else moved meanwhile is a conflict that is tried again."""
        if not (self._moves or self._changed):
            return
        values = {name: value for name, value in self._row.items() if value != self._as_read[name]}
        if not values:
            return
        which = {"this_id": self._row["id"], "read_revision": self._as_read["revision"]}
        changed = await self._work.connection.execute(_SAVE, {**values, **which})
        if changed.rowcount != 1:
            raise RuntimeError(f"{self._row['id']} was moved by somebody else")
        if self._moves:
            await self._work.connection.execute(_ADD_MOVE, self._moves)
