"""Subjects and streams, as data. Nobody types a subject by hand."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from .commands import Command
from .events import Event
from .queries import Query

__all__ = [
    "STREAMS",
    "Retention",
    "StreamSpec",
    "command_filter",
    "control_subject",
    "event_subject",
    "log_subject",
    "order_subject",
    "parked_subject",
    "pilot_inbox",
    "pilot_subject",
    "query_subject",
    "report_subject",
    "subject_of",
    "task_subject",
    "wake_subject",
    "work_subject",
]

_DAY = 86400.0

_UNSAFE = re.compile(r"[^A-Za-z0-9_=-]")


class Retention(StrEnum):
    """When a stream lets go of a message."""

    LIMITS = "limits"
    WORK = "workqueue"


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """A JetStream stream; `deploy` and every service at its start declare it."""

    name: str
    subjects: tuple[str, ...]
    retention: Retention
    max_age: float = 0.0
    """Seconds; 0 keeps for ever."""
    max_bytes: int = -1
    duplicate_window: float = 120.0
    """Seconds in which the same `Nats-Msg-Id` is dropped."""


STREAMS: tuple[StreamSpec, ...] = (
    StreamSpec("COMMANDS", ("commands.>",), Retention.WORK),
    StreamSpec("EVENTS", ("events.>",), Retention.LIMITS, duplicate_window=3600.0),
    StreamSpec("TASKS", ("tasks.>",), Retention.WORK),
    StreamSpec("RUNS", ("runs.>",), Retention.LIMITS, max_age=_DAY),
    StreamSpec("LOGS", ("logs.>",), Retention.LIMITS, max_age=7 * _DAY, max_bytes=8 * 2**30),
    StreamSpec("PARKED", ("parked.>",), Retention.LIMITS, max_age=90 * _DAY),
)
"""All streams there are."""


def subject_of(message: Command | Event | Query) -> str:
    """Return where a message goes."""
    noun, _, verb = message.name.partition(".")
    if isinstance(message, Command):
        return f"commands.{message.service}.{noun}.{verb}.{_token(message.target_id)}"
    if isinstance(message, Event):
        return event_subject(noun, message.subject_fact, _token(message.subject_id))
    return query_subject(type(message))


def _token(word: str) -> str:
    """Make one token of a word that may come from outside: no dots, blanks or wildcards, and not empty."""
    return _UNSAFE.sub("_", word)[:200] or "none"


def command_filter(service: str) -> str:
    """Return the subjects of all commands of a service."""
    return f"commands.{service}.>"


def order_subject(kind: type[Command]) -> str:
    """Return where commands go that are to be done at once; no stream keeps them."""
    return f"orders.{kind.service}.{kind.name}"


def event_subject(noun: str = "*", fact: str = "*", about: str = "*") -> str:
    """Return the subject of an event, or a filter for several."""
    return f"events.{noun}.{fact}.{about}"


def query_subject(kind: type[Query], service: str | None = None) -> str:
    """Return where a question goes; *service* only for those that any service answers."""
    return f"queries.{service or kind.service}.{kind.name}"


def task_subject(backend: str, workload_id: str = "*", attempt: int | str = "*") -> str:
    """Return where attempts for a backend's resident runners lie."""
    return f"tasks.{backend}.{workload_id}.{attempt}"


def report_subject(workload_id: str = "*", attempt: int | str = "*") -> str:
    """Return where a runner reports."""
    return f"runs.{workload_id}.{attempt}.report"


def log_subject(workload_id: str, attempt: int | str = "*", stream: str = "*") -> str:
    """Return where the output of an attempt goes."""
    return f"logs.{workload_id}.{attempt}.{stream}"


def parked_subject(service: str = "*", subject: str = ">") -> str:
    """Return where a message lies that *service* could not handle, or a filter for several."""
    return f"parked.{service}.{subject}"


def wake_subject() -> str:
    """Return where schedulers tell each other which workflow has to listen."""
    return "wakes.scheduler"


def work_subject(backend: str) -> str:
    """Return where it is said that there is something to lease."""
    return f"work.{backend}"


def control_subject(backend: str) -> str:
    """Return where the resident runners of a backend listen."""
    return f"control.{backend}"


def pilot_subject(native: str) -> str:
    """Return where the pilot of a native job listens."""
    return f"control.pilots.{native}"


def pilot_inbox(native: str) -> str:
    """Return the beginning of the subjects at which the pilot of a native job is answered."""
    return f"_INBOX.{native}"
