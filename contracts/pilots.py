"""What a pilot, the one program of a native job on a cluster, and the scheduler say to each other."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from .ids import WorkloadId
from .model import Model
from .query import Query
from .runs import RunTask
from .states import Reason

__all__ = ["NextTask", "PilotOrders", "PilotTerms", "PilotTicket", "RunEnding"]


class PilotTicket(Model):
    """What the token of one native job says, signed with the site's key."""

    backend: str
    native: str
    """Its name on the cluster."""


class PilotTerms(Model):
    """How a pilot works. All times in seconds."""

    slots: int = Field(default=1, ge=1)
    """How many programs run side by side."""
    heartbeat: float = Field(default=60.0, gt=0)
    sample_every: float = Field(default=1.0, gt=0)
    hold: float = Field(default=0.015, ge=0)
    """For how long a report waits for more to say."""
    grace: float = Field(default=5.0, ge=0)
    """Between SIGTERM and SIGKILL."""
    farewell: float = Field(default=20.0, gt=0)
    """Within which all must be told when the cluster wants its room back."""
    patience: float = Field(default=86400.0, gt=0)
    """For which a transfer is tried again while the store is away."""
    transfers: int = Field(default=4, ge=1)
    """How many files or parts of a run travel at once."""
    live_logs: int = Field(default=256 * 2**20, ge=0)
    """Bytes of each output stream that are published live."""
    files: Literal["auto", "mount", "replace"] = "auto"
    """How programs are shown their working folder as `/files`."""
    mpirun: str = Field(default="", max_length=1024)
    """What starts all processes of a program that got several, for the variable `mpirun`."""


class RunEnding(Model):
    """Something that a pilot has and is to end early."""

    workload_id: WorkloadId
    attempt: int
    reason: Reason | None = None
    """Why all of it is to end; none if only some tasks are."""
    tasks: str | None = None
    """Of a bundle, only these."""


class PilotOrders(Model):
    """What a pilot is to do next."""

    backend: str
    over: bool = False
    """Its native job is over, or another pilot has its work: it ends what it runs without a word."""
    task: RunTask | None = None
    more: bool = False
    """There may be another task when it can begin one."""
    end: list[RunEnding] = []
    terms: PilotTerms = PilotTerms()


class NextTask(Query):
    """A pilot asks what is next, by its token. The same question twice has the same answer."""

    name: ClassVar[str] = "pilot.next"
    service: ClassVar[str] = "scheduler"
    answer: ClassVar[Any] = PilotOrders

    token: str
    incarnation: str = Field(min_length=8, max_length=64)
    """Names this one process: a native job that its cluster starts again is given nothing."""
    number: int = Field(ge=0, le=2**31 - 1)
    """Counts, from 1, the questions of an incarnation that could begin another; the same number again has the same
    answer. 0 asks only whether it may go on."""
    node: str = Field(default="", max_length=256)
