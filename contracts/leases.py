"""Work that outside workers take: what they offer, what they are lent, and what they say of it."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field, field_validator

from .command import Command
from .model import Model
from .principals import Principal
from .query import Query
from .runs import RunTask, Step
from .states import Reason
from .words import refuse_flag
from .workloads import Workload

__all__ = [
    "LEASE_COMMANDS",
    "LEASE_QUERIES",
    "GetLease",
    "Lease",
    "LeaseStanding",
    "LeaseView",
    "Leases",
    "Loan",
    "Offer",
    "ReportLease",
    "TakeLeases",
    "UseLease",
]

_MOST = 2**50

_GPU = r"^[A-Za-z0-9._ -]+$"


class Offer(Model):
    """The room that a worker has for one job."""

    cpus: float = Field(default=1.0, gt=0, le=4096, allow_inf_nan=False)
    memory: int = Field(gt=0, le=_MOST, examples=[17179869184])
    """Bytes."""
    gpus: int = Field(default=0, ge=0, le=1024)
    gpu_memory: int = Field(default=0, ge=0, le=_MOST)
    """Bytes on each GPU."""
    gpu_model: str | None = Field(default=None, max_length=64, pattern=_GPU)
    gpu_architecture: str | None = Field(default=None, max_length=64, pattern=_GPU)
    images: bool = False
    """Whether the worker runs container images; one that does not takes programs that need none."""
    arrays: bool = False
    """Whether it takes tasks of arrays, each of which comes as a bundle of one."""

    _no_flags = field_validator("cpus", "memory", "gpus", "gpu_memory", mode="before")(refuse_flag)


class Lease(Model):
    """An attempt that is lent to a worker, which says something again and again, or loses it."""

    number: int
    """Its place in the backend's queue; never given twice."""
    token: str = ""
    """Shown with whatever is said or fetched for it."""
    keep_within: float
    """Seconds of silence after which it goes to another worker."""
    task: RunTask
    """Without the ticket, which the gateway keeps."""
    job: Workload


class Leases(Model):
    """What a worker got."""

    items: list[Lease]


class LeaseStanding(Model):
    """How a lease stands after a report."""

    number: int
    gone: bool = False
    """It is over, or another's: nothing that is said of it counts any more."""
    ending: Reason | None = None
    """Why it is to be ended now; the worker says when that is done."""


class LeaseView(Model):
    """A lease as other workers see it."""

    number: int
    job: Workload
    """The job, which may have gone on to another attempt."""
    is_current: bool
    """Whether the lease is the job's present attempt."""


class Loan(LeaseView):
    """A lease as its worker uses it, by way of the gateway."""

    task: RunTask
    """With its ticket."""


class TakeLeases(Command):
    """Lend me work that fits. Answered with `Leases`."""

    name: ClassVar[str] = "lease.take"
    service: ClassVar[str] = "scheduler"

    principal: Principal
    worker: str = Field(default="", max_length=64)
    """Which of the principal's machines; empty where they have but one."""
    backend: str
    offer: Offer
    limit: int = Field(default=1, ge=0, le=64)
    """How much; 0 only says that the worker is there."""
    older_than: float = Field(default=0.0, ge=0)
    """Seconds for which work that any sort of machine may take must have waited."""
    keyed: bool = True
    """Whether it gets a token; else who asks is all that proves whose it is."""


class ReportLease(Command):
    """This happened to what was lent to me. Answered with `LeaseStanding`; repeats are harmless."""

    name: ClassVar[str] = "lease.report"
    service: ClassVar[str] = "scheduler"

    principal: Principal
    number: int
    token: str = Field(default="", max_length=128)
    steps: list[Step] = Field(min_length=1, max_length=100)

    @property
    def target_id(self) -> str:
        """Return the lease's number: its reports are taken in order."""
        return str(self.number)


class GetLease(Query):
    """Tell me how a lease stands; any worker may ask. Answered with `LeaseView`."""

    name: ClassVar[str] = "lease.get"
    service: ClassVar[str] = "scheduler"
    answer: ClassVar[Any] = LeaseView

    principal: Principal
    number: int


class UseLease(Query):
    """Give me what I need to fetch or store files for what is lent to me. Answered with `Loan`."""

    name: ClassVar[str] = "lease.use"
    service: ClassVar[str] = "scheduler"
    answer: ClassVar[Any] = Loan

    principal: Principal
    number: int
    token: str = Field(default="", max_length=128)


LEASE_COMMANDS: tuple[type[Command], ...] = (TakeLeases, ReportLease)
"""Commands about leases."""

LEASE_QUERIES: tuple[type[Query], ...] = (GetLease, UseLease)
"""Questions about leases."""
