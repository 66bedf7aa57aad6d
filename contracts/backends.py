"""Clusters as users and operators see them: how they stand, what they are, and whether they take work."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, ClassVar

from pydantic import Field

from .catalog import CatalogFault
from .command import Command
from .fact import Event
from .model import Model, Timestamp
from .principals import Principal
from .query import Query
from .spec import BackendName

__all__ = [
    "BACKEND_COMMANDS",
    "BACKEND_EVENTS",
    "BackendDrained",
    "BackendResumed",
    "BackendState",
    "BackendView",
    "BackendsBroken",
    "BackendsLoaded",
    "Cost",
    "Drain",
    "DrainBackend",
    "GetBackend",
    "ListBackends",
    "ResumeBackend",
]


class BackendState(StrEnum):
    """Whether a cluster takes work."""

    UP = "up"
    DOWN = "down"
    """It does not answer; `detail` says why."""
    DRAINING = "draining"
    """It gets no new work; what it has runs to its end."""


class Cost(Model):
    """What a backend costs, in whatever the site counts in."""

    cpu_hour: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    gpu_hour: float = Field(default=0.0, ge=0, allow_inf_nan=False)


class Drain(Model):
    """Who wants a backend to get no new work, and why."""

    by: str
    """An operator, or `configuration`."""
    at: Timestamp | None = None
    message: str = ""


class BackendView(Model):
    """A cluster as users see it. Figures are none where the backend does not say."""

    backend: str
    kind: str
    healthy: bool
    detail: str = ""
    cpus: float | None = None
    cpus_free: float | None = None
    memory: int | None = None
    memory_free: int | None = None
    gpus: int = 0
    gpus_free: int = 0
    gpu_models: list[str] = []
    largest_cpus: float | None = None
    """What one job can have: of its largest node."""
    largest_gpus: int | None = None
    running: int = 0
    queued: int = 0
    capabilities: list[str] = []
    on_request: bool = False
    """Whether only those jobs go there that name it."""
    state: BackendState = BackendState.UP
    drain: Drain | None = None
    """With `draining`."""
    site: str = ""
    """Where it stands: jobs may ask for it in `placement.sites`."""
    labels: dict[str, str] = {}
    """What else it is: jobs may ask for it in `placement.labels`."""
    cost: Cost | None = None
    """None where the site says nothing."""
    walltime: float | None = None
    """Seconds that a job may run there at most; none is as long as it asks for."""
    network: bool = True
    """Whether programs there reach other networks."""
    near: list[str] = []
    """The stores that lie beside it: nothing has to be moved far."""


class ListBackends(Query):
    """Give me the backends and what is free on each. Answered with a list of `BackendView`."""

    name: ClassVar[str] = "backend.list"
    service: ClassVar[str] = "scheduler"
    answer: ClassVar[Any] = list[BackendView]

    principal: Principal


class GetBackend(Query):
    """Give me one backend. Answered with the `BackendView`."""

    name: ClassVar[str] = "backend.get"
    service: ClassVar[str] = "scheduler"
    answer: ClassVar[Any] = BackendView

    principal: Principal
    backend: BackendName


class _BackendCommand(Command):
    service: ClassVar[str] = "scheduler"

    principal: Principal
    backend: BackendName

    @property
    def target_id(self) -> str:
        """Return the backend's name."""
        return self.backend


class DrainBackend(_BackendCommand):
    """Give this backend no new work. Answered with the `BackendView`."""

    name: ClassVar[str] = "backend.drain"

    message: str = Field(default="", max_length=1000)


class ResumeBackend(_BackendCommand):
    """Give this backend work again. Answered with the `BackendView`."""

    name: ClassVar[str] = "backend.resume"


class _BackendEvent(Event):
    backend: str
    at: Timestamp
    by: str

    @property
    def subject_id(self) -> str:
        """Return the backend's name."""
        return self.backend


class BackendDrained(_BackendEvent):
    """A backend gets no new work from now on."""

    name: ClassVar[str] = "backend.drained"

    message: str = ""


class BackendResumed(_BackendEvent):
    """A backend gets work again."""

    name: ClassVar[str] = "backend.resumed"


class BackendsLoaded(Event):
    """The backends of the site were changed in its file, and are as it says from now on."""

    name: ClassVar[str] = "backends.loaded"

    added: list[str] = []
    changed: list[str] = []
    removed: list[str] = []
    """They get no new work; what they have runs to its end."""
    at: Timestamp


class BackendsBroken(Event):
    """The file was changed to what cannot be used: the backends stay as they were."""

    name: ClassVar[str] = "backends.broken"

    faults: list[CatalogFault] = []
    at: Timestamp


BACKEND_COMMANDS: tuple[type[Command], ...] = (DrainBackend, ResumeBackend)
"""Every command about backends."""

BACKEND_EVENTS: tuple[type[Event], ...] = (BackendDrained, BackendResumed, BackendsLoaded, BackendsBroken)
"""Every event about backends."""
