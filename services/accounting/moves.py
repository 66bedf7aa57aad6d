"""Reads what matters to the ledger out of the event log, without unpacking the rest."""

from __future__ import annotations

import orjson
from pydantic import ValidationError

from contracts.envelope import type_of
from contracts.errors import InvalidError
from contracts.events import WorkloadMoved, WorkloadTasksMoved
from contracts.states import HOLDS_ROOM, MOVES
from contracts.subjects import event_subject
from services.chassis.errors import invalid_from

__all__ = ["STREAM", "SUBJECTS", "read_move"]

STREAM = "EVENTS"
"""The event log."""

_MAY_CARRY = sorted(HOLDS_ROOM.union(*(MOVES[state] for state in HOLDS_ROOM)))
"""States in whose beginning room is taken or given back; what happens before and after costs nobody anything."""

_FACTS = (*_MAY_CARRY, WorkloadTasksMoved.name.partition(".")[2])

SUBJECTS = tuple(event_subject("workload", fact) for fact in _FACTS)
"""What of it is read."""

_MOVED = type_of(WorkloadMoved)
_TASKS = type_of(WorkloadTasksMoved)


def read_move(raw: bytes) -> WorkloadMoved | WorkloadTasksMoved | None:
    """Return the move in an envelope if it opens or closes segments; what cannot be read is refused."""
    try:
        envelope = orjson.loads(raw)
        if envelope["type"] == _TASKS:
            ended = any(fact.get("usage") for fact in envelope["data"].get("tasks", ()))
            return WorkloadTasksMoved.model_validate(envelope["data"], extra="ignore") if ended else None
        if envelope["type"] != _MOVED:
            return None
        data = envelope["data"]
        if not (data.get("allocation") or data.get("usage")):
            return None
        return WorkloadMoved.model_validate(data, extra="ignore")
    except ValidationError as error:
        raise invalid_from(error) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidError(f"not an event: {type(error).__name__}: {error}"[:200]) from error
