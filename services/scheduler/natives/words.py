"""Where native jobs and the attempts that they run stand in our tables, and how native jobs are called."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["OPEN", "STANDING", "AttemptState", "JobState", "Named", "native_name", "read_name"]

_NAME = re.compile(r"^(?P<site>[a-z][a-z0-9]*)-(?P<id>[0-9a-f]{32})-(?P<attempt>[0-9]+)(?P<pack>p?)(r[0-9]+)?$")


class AttemptState(StrEnum):
    """Where an attempt stands."""

    WAITING = "waiting"
    """No native job was made for it yet."""
    PLACED = "placed"
    """It has a native job, whose pilot has not asked for it."""
    GIVEN = "given"
    """A pilot has it."""
    ENDED = "ended"


class JobState(StrEnum):
    """Where a native job stands."""

    NAMED = "named"
    """It has a name; whether it was started is not known."""
    STARTED = "started"
    ENDED = "ended"
    """Its attempts have ended, or were put back; what is left of it on the cluster is being removed."""
    GONE = "gone"


OPEN = (AttemptState.WAITING.value, AttemptState.PLACED.value, AttemptState.GIVEN.value)
"""Attempts that have not ended."""

STANDING = (JobState.NAMED.value, JobState.STARTED.value)
"""Native jobs that may be there."""


@dataclass(frozen=True, slots=True)
class Named:
    """What the name of a native job tells."""

    workload_id: str
    attempt: int
    is_pack: bool
    """Whether it runs other attempts too."""


def native_name(site: str, workload_id: str, attempt: int, *, is_pack: bool = False, returns: int = 0) -> str:
    """Return the name of the native job for an attempt, which is the first of a pack, and came back *returns* times."""
    word = f"{site}-{workload_id.partition('-')[2]}-{attempt}"
    return word + ("p" if is_pack else "") + (f"r{returns}" if returns else "")


def read_name(name: str, kind: str = "job") -> Named | None:
    """Return what a name tells that was made here; None of another one."""
    found = _NAME.match(name)
    return found and Named(f"{kind}-{found['id']}", int(found["attempt"]), bool(found["pack"]))
