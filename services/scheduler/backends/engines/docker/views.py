"""What the engine says of containers, in our words. It is asked for all at once; once more for each that has ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from contracts.states import Reason
from services.scheduler.backends.engines.base import NativeState, Seen

from .labels import NAME, RUNS, STAGE, priority_of, wants_of
from .room import Wants

__all__ = ["Ended", "Glance", "ended_of", "glance_of"]

_STATES = {
    "created": NativeState.WAITING,
    "configured": NativeState.WAITING,
    "exited": NativeState.ENDED,
    "stopped": NativeState.ENDED,
    "dead": NativeState.ENDED,
    "removing": NativeState.ENDED,
}
"""Docker's words and Podman's; whatever else is said, it lives."""

_NO_PYTHON = 91
_KILLED = {128 + 2, 128 + 9, 128 + 15}
_FOUND_DEAD = 255
"""What Docker writes down when the machine went down with a container."""


@dataclass(frozen=True, slots=True)
class Glance:
    """One container in the list of all."""

    id: str
    name: str
    image: str
    state: NativeState
    created: int
    labels: Mapping[str, str]
    said: str
    """Such as `Up 2 minutes (Paused)`."""

    @property
    def runs(self) -> bool:
        """Say whether it is one that runs, or has run; else it waits, and never does itself."""
        return self.labels.get(STAGE) == RUNS

    @property
    def wants(self) -> Wants:
        """Return what it wants of its machine."""
        return wants_of(self.labels)

    @property
    def priority(self) -> int:
        """Return its priority among those that wait."""
        return priority_of(self.labels)

    def seen(self, node: str) -> Seen:
        """Return it as the keeper reads it, unless it has ended."""
        reason = self.said if self.runs else "it waits for room on its machine"
        return Seen(self.name, self.id, self.state, reason=reason, node=node if self.runs else "")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a container ended."""

    id: str
    name: str
    image: str
    code: int
    out_of_memory: bool
    error: str
    created: str
    finished: str

    @property
    def was_killed(self) -> bool:
        """Say whether a signal ended it, so that it matters who sent it."""
        return self.code in _KILLED and not self.out_of_memory

    def seen(self, node: str, *, killed_through_engine: bool, last_words: str) -> Seen:
        """Return it as the keeper reads it."""
        ending, reason = self._ending(killed_through_engine, last_words)
        return Seen(self.name, self.id, NativeState.ENDED, reason, ending, self.code, node)

    def _ending(self, killed_through_engine: bool, last_words: str) -> tuple[Reason | None, str]:
        words, code = last_words or self.error or "it said nothing", self.code
        table: list[tuple[bool, Reason | None, str]] = [
            (code == 0, None, "its container ended"),
            (self.out_of_memory, Reason.MEMORY, "its container needed more memory than it may have"),
            (self.was_killed and killed_through_engine, Reason.CANCELED, "its container was ended through the engine"),
            (self.was_killed, Reason.INTERRUPTED, "its container was ended from outside, as when the engine stops"),
            (code == _FOUND_DEAD, Reason.LOST, "the engine found its container dead when it came back"),
            (code == _NO_PYTHON, Reason.REFUSED, f"image {self.image} has no Python that can run a job: {words}"),
            (True, None, f"its container ended with exit code {code}: {words}"),
        ]
        return next((ending, reason) for holds, ending, reason in table if holds)


def glance_of(listed: Mapping[str, Any]) -> Glance:
    """Read one entry of the list of containers."""
    labels = listed.get("Labels") or {}
    return Glance(
        id=str(listed["Id"]),
        name=labels.get(NAME, ""),
        image=str(listed.get("Image", "")),
        state=_STATES.get(str(listed.get("State", "")).lower(), NativeState.RUNNING),
        created=int(listed.get("Created", 0)),
        labels=labels,
        said=str(listed.get("Status", "")),
    )


def ended_of(inspected: Mapping[str, Any]) -> Ended:
    """Read all that is known of one container."""
    state = inspected["State"]
    return Ended(
        id=inspected["Id"],
        name=inspected["Config"]["Labels"][NAME],
        image=inspected["Config"]["Image"],
        code=int(state["ExitCode"]),
        out_of_memory=bool(state.get("OOMKilled")),
        error=str(state.get("Error", "")),
        created=inspected["Created"],
        finished=state["FinishedAt"],
    )
