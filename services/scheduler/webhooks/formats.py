"""How bodies are written. One more format is one more function here and one more line in `FORMATS`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pydantic import ValidationError

from contracts.envelope import Envelope, type_of
from contracts.errors import InvalidError
from contracts.events import WorkloadAccepted, WorkloadMoved
from contracts.states import WorkloadState
from services.chassis.showing import shown

__all__ = ["FORMATS", "PING", "Body", "Format", "JobFacts", "psik_state", "require_format", "state_of"]

PING = "org.shunter.ping.v1"
"""The type of what a test sends; it stands in no log."""

_MOVED, _ACCEPTED = type_of(WorkloadMoved), type_of(WorkloadAccepted)


@dataclass(frozen=True, slots=True)
class JobFacts:
    """What is known of the job that an event is about, beside what the event says."""

    name: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Body:
    """What is sent."""

    content_type: str
    content: bytes
    key: str
    """Names what is told: the same key is sent to one target once."""


Format = Callable[[Envelope, JobFacts], Body | None]
"""Writes an event; None for one of which this format says nothing. Pure: the same event is the same bytes."""


def state_of(envelope: Envelope) -> WorkloadState | None:
    """Return the state that an event of a workload tells of, None for events that tell of none."""
    word = "accepted" if envelope.type == _ACCEPTED else envelope.data.get("new") if envelope.type == _MOVED else None
    try:
        return None if word is None else WorkloadState(word)
    except ValueError:
        return None


def require_format(name: str, field_name: str) -> None:
    """Refuse a format that nobody writes."""
    if name not in FORMATS:
        raise InvalidError.of(field_name, f"there is no format {name!r}; there are: {', '.join(sorted(FORMATS))}")


# --- CloudEvents 1.0, structured ------------------------------------------------------------------------------------


def _cloud_event(envelope: Envelope, _facts: JobFacts) -> Body:
    return Body("application/cloudevents+json; charset=utf-8", shown(envelope).to_bytes(), envelope.id)


# --- what psik sends ------------------------------------------------------------------------------------------------

_PSIK: dict[WorkloadState, str] = {
    WorkloadState.ACCEPTED: "new",
    WorkloadState.HELD: "new",
    WorkloadState.STAGING: "queued",
    WorkloadState.QUEUED: "queued",
    WorkloadState.STARTING: "queued",
    WorkloadState.RUNNING: "active",
    WorkloadState.FINISHING: "active",
    WorkloadState.SUCCEEDED: "completed",
    WorkloadState.FAILED: "failed",
    WorkloadState.LOST: "failed",
    WorkloadState.CANCELED: "canceled",
}


def psik_state(state: WorkloadState) -> str:
    """Return psik's word for a state; every state has one."""
    return _PSIK[state]


def _psik(envelope: Envelope, facts: JobFacts) -> Body | None:
    """Write a move as psik does; `new` is not told, and each further state once."""
    if envelope.type == PING:
        return _psik_body({"jobid": envelope.subject, "jobndx": 0, "state": "new", "info": 0}, envelope.id)
    state = state_of(envelope)
    if state is None or (word := psik_state(state)) == "new":
        return None
    number = facts.labels.get("psik.ndx", "")
    index = int(number) if number.isascii() and number.isdigit() else 0
    step: dict[str, str | int] = {
        "jobid": facts.labels.get("psik.job") or envelope.subject,
        "jobndx": index,
        "state": word,
        "info": _exit_code(envelope),
    }
    return _psik_body(step, f"psik-{envelope.subject}-{index}-{word}")


def _psik_body(step: dict[str, str | int], key: str) -> Body:
    return Body("application/json", json.dumps(step, separators=(",", ":")).encode(), key[:128])


def _exit_code(envelope: Envelope) -> int:
    try:
        return envelope.unwrap(WorkloadMoved).exit_code or 0
    except ValidationError:
        return 0


FORMATS: dict[str, Format] = {"cloudevents": _cloud_event, "psik": _psik}
"""Every format there is."""
