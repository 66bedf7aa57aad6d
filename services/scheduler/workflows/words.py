"""What workflows, their activities and those who signal them say to each other. Temporal keeps it: never a secret."""

from __future__ import annotations

from enum import StrEnum

from pydantic import ConfigDict

from contracts.model import Model
from contracts.states import Reason, WorkloadState

__all__ = [
    "ArrayEnd",
    "ArrayStanding",
    "AttemptEnd",
    "AttemptRef",
    "Cancellation",
    "Carried",
    "Ending",
    "JobInput",
    "JobResult",
    "Move",
    "Recall",
    "Submitted",
    "Withdrawal",
    "Withdrawn",
]


class AttemptRef(Model):
    """One attempt of a workload."""

    workload_id: str
    attempt: int
    message: str = ""
    backend: str | None = None
    """Where it goes, if that was decided already."""
    tried: list[str] = []
    """Backends that it was taken back from, as they did not begin with it."""
    refused: list[str] = []
    """Backends that said that they will never run it."""


class AttemptEnd(Model):
    """How an attempt ended, as its runner or the watch says. A signal; the same one twice is harmless."""

    attempt: int
    reason: Reason
    exit_code: int | None = None
    message: str = ""
    settled: bool = False
    """Whether it is the end of the workload and recorded as such, since there was nothing to decide."""


class Submitted(Model):
    """Where an attempt went; without a backend it was refused everywhere, for the reason in the message."""

    backend: str | None
    message: str = ""
    end: AttemptEnd | None = None
    """How the attempt ended, if it has already and its end was settled."""
    over: WorkloadState | None = None
    """How the workload ended, if it has: an end that was taken for lost came after all."""
    patience: float | None = None
    """Seconds for which it may lie there before another backend gets it; none is for ever."""
    lost_attempts: int | None = None
    """How many attempts may get lost there, if that is not what it is elsewhere."""
    refused: bool = False
    """The backend took one look at it and refused; nothing of it is there. The message says why."""
    others: bool = False
    """Whether there are other backends for it, should this one refuse it."""
    later: float | None = None
    """Seconds after which to ask again, as no backend takes new work at present; nothing was submitted."""


class Withdrawal(StrEnum):
    """What came of taking an attempt back that was not begun."""

    GONE = "gone"
    """Nothing of it is left there: it may go elsewhere."""
    ENDING = "ending"
    """It is being ended, and a last report will come."""
    BEGUN = "begun"
    """It was begun with after all."""
    STAYS = "stays"
    """There is no better place at present."""


class Withdrawn(Model):
    """The same, as the activity answers."""

    outcome: Withdrawal


class Cancellation(Model):
    """Somebody wants the workload to end. A signal."""

    message: str = ""


class Carried(Model):
    """What a workflow knows when it goes on in a fresh history. Only what still matters."""

    attempt: int
    blameless: int
    note: str = ""
    submitted: bool = False
    """The attempt was handed over already, and is being waited for."""
    overran: bool = False
    """It has run past its walltime, and is being ended."""
    running: int = 0
    passed_on: int = 0
    """Attempts that were taken back and given to another backend; they cost none of its retries."""
    tried: list[str] = []
    refused: list[str] = []
    lost_attempts: int | None = None
    ends: list[AttemptEnd] = []
    cancellation: Cancellation | None = None


class JobInput(Model):
    """What the workflow must know to decide; everything else lies in the scheduler's tables."""

    # While replicas of two releases run side by side, the older one may be given what the newer one started.
    model_config = ConfigDict(extra="ignore")

    workload_id: str
    hold: bool = False
    max_retries: int = 0
    backoff: float = 5.0
    """Seconds."""
    walltime: float
    """Seconds."""
    array: bool = False
    backend: str | None = None
    """Where its first attempt goes; none lets the activity choose, as for all further ones."""
    told: bool = False
    """Whether its search attributes said so from the start."""
    continue_after: int = 50
    """Steps (attempts, repeated cancels) after which the workflow goes on in a fresh history."""
    carried: Carried | None = None
    """Given when it does so."""


class Ending(Model):
    """What a backend says of an attempt that was to be ended, or of which nothing was heard."""

    gone: bool
    """Nothing is left, and no report will come."""


class Move(Model):
    """A move that the workflow decided."""

    workload_id: str
    state: WorkloadState
    reason: Reason
    message: str = ""
    exit_code: int | None = None


class JobResult(Model):
    """How the workload ended, for the operator who looks at the workflow."""

    state: WorkloadState
    attempts: int
    exit_code: int | None = None
    message: str = ""


class Recall(Model):
    """Somebody wants some tasks of an array to end. A signal, and the wish that an activity fulfils."""

    tasks: str | None = None
    """Such as `3,7-10`; none means all, and nothing that there is only news."""


class ArrayStanding(Model):
    """How an array stands after what could be handed out was."""

    over: bool
    pause: float | None = None
    """Seconds until another task may be handed out, if nothing else happens before."""
    backend: str | None = None
    """Where its tasks go at present, which may be another one than before."""


class ArrayEnd(Model):
    """How an array ended."""

    state: WorkloadState
    reason: Reason
    message: str = ""
