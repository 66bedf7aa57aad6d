"""The scheduler's settings."""

from __future__ import annotations

import os
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from contracts.errors import InvalidError
from services.chassis.settings import ChassisSettings, Server

from .backends.engines.kinds import BUILT_IN, load
from .backends.facts import BackendFacts
from .catalog.settings import ApplicationSettings, StorageGlance
from .mail.settings import Mail
from .patience import Patience
from .pilots.settings import PilotSettings
from .placing.settings import PlacementSettings

__all__ = [
    "BackendSettings",
    "Limits",
    "PackSettings",
    "PullSettings",
    "QueueSettings",
    "SchedulerSection",
    "SchedulerSettings",
    "Schedules",
    "TemporalSettings",
    "Watch",
    "Webhooks",
    "require_consistent",
]


class TemporalSettings(BaseModel):
    """Where Temporal listens."""

    address: str = "127.0.0.1:8803"
    namespace: str = "shunter"
    task_queue: str = "shunter-workloads"


class PullSettings(BaseModel):
    """Who may take work, and for how long it is lent. All times in seconds."""

    workers: list[str] = ["workers"]
    """The projects whose members may; admins of the site may too. They see the files of whatever job they take."""
    environment: str = "local"
    """What sort of machine a worker is."""
    environments: dict[str, str] = {}
    """What else it is, by the project that its user is in."""
    lease: float = Field(default=60.0, gt=0)
    """Silence after which an attempt goes to another worker."""
    begin_within: float = Field(default=3600.0, gt=0)
    """Time from a lease to the start of the program, however often the worker says that it is alive."""
    finish_within: float = Field(default=3600.0, gt=0)
    """Time from the end of the program to the last word."""
    alive: float = Field(default=60.0, gt=0)
    """A worker that has said something so lately counts as being there."""
    look: float = Field(default=2.0, gt=0)
    """The pause between two looks for silent ones."""
    retries: int = Field(default=2, ge=0, le=100)
    """How many attempts of a job may get lost."""
    open: bool = False
    """Whether jobs that name no backend may go there."""


class PackSettings(BaseModel):
    """Which jobs go to a cluster as one native job: small ones of one owner and project that wait at the same time."""

    most: int = Field(default=32, ge=2, le=500)
    """Jobs of one native job; also tasks of one bundle of an array."""
    cpus: int = Field(default=4, ge=1)
    """How many of them run side by side."""
    walltime: float = Field(default=600.0, gt=0)
    """Seconds; a job that may take longer goes alone."""
    ahead: int = Field(default=4, ge=1)
    """Native jobs that may be on their way; until one of them begins, small jobs wait for others to go with."""
    gather: float = Field(default=10.0, ge=0, le=3600)
    """Seconds that a small job waits so at most."""


class BackendSettings(BackendFacts):
    """One cluster. What its kind wants to know lies under the name of the kind."""

    model_config = ConfigDict(extra="allow")

    name: str = Field(default="local", pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=64)
    kind: str = "local"
    pull: PullSettings = PullSettings()
    """Of a backend whose work outside workers take."""
    prefix: str | None = Field(default=None, pattern=r"^[a-z][a-z0-9]{0,7}$")
    """The word with which the names of our native jobs begin; by default one that is made from the ticket key. What
    bears it on the cluster is taken for ours: no other site and no other backend may have it there."""
    pack: PackSettings | None = None
    """Whether small jobs share native jobs; by default none does."""
    queued: int = Field(default=1000, ge=1)
    """Attempts that may lie in the cluster's own queue."""
    mpirun: str = Field(default="", max_length=1024)
    """What starts all processes of a program that got several, if not what is usual on this kind of cluster; programs
    have it as the variable `mpirun`."""
    nats_url: str = ""
    """Where this cluster reaches NATS; by default as `pilots.nats_url` says."""
    grace: float = Field(default=300.0, ge=0)
    """Seconds that a native job has beyond the walltime of its attempt, to bring files and take them home."""

    @property
    def is_cluster(self) -> bool:
        """Say whether an engine of a cluster carries it."""
        return self.kind not in BUILT_IN

    @property
    def starts_processes(self) -> str:
        """Return what starts all processes of a program there: the site's word, or that of the kind."""
        return self.mpirun or (load(self.kind).mpirun if self.is_cluster else "")

    @property
    def part(self) -> dict[str, Any]:
        """Return what lies under the name of its kind."""
        found: dict[str, Any] = (self.model_extra or {}).get(self.kind) or {}
        return found

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        try:
            model = load(self.kind).Settings if self.is_cluster else None
        except InvalidError as error:
            raise ValueError(f"the backend {self.name!r}: {error.detail}") from error
        strange = set(self.model_extra or ()) - ({self.kind} if self.is_cluster else set())
        if strange:
            raise ValueError(f"the backend {self.name!r} of kind {self.kind!r} has no {', '.join(sorted(strange))}")
        if model is not None and not isinstance(self.part, dict):
            raise ValueError(f"{self.kind} of the backend {self.name!r} must be a mapping")
        if model is not None:
            model.model_validate(self.part)
        return self


class Watch(BaseModel):
    """How attempts that say nothing are looked after. All in seconds."""

    every: float = Field(default=5.0, gt=0)
    """The pause between two looks."""
    silence: float = Field(default=30.0, gt=0)
    """An attempt without a sign of life for so long is looked up on its backend."""
    compare: float = Field(default=60.0, gt=0)
    """The pause between two comparisons of the table with Temporal."""
    settled: float = Field(default=30.0, ge=0)
    """What moved so lately may still be on its way from the one to the other."""


class Schedules(BaseModel):
    """Repeated jobs."""

    per_owner: int = Field(default=100, ge=0)
    """How many schedules one user may have that can still make jobs."""


HostPattern = Annotated[
    str, StringConstraints(to_lower=True, pattern=r"^(\*|(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*|[0-9a-fA-F:.]+)$")
]
"""A host, an address, `*.example.org` for all below a name, or `*` for every host that is not ours to protect."""


class Webhooks(Patience):
    """Where users may have events sent to, and how often that is tried."""

    allow: list[HostPattern] = []
    """Hosts; by default none."""
    http: bool = False
    """Whether `http://` is allowed beside `https://`."""
    ports: list[Annotated[int, Field(ge=1, le=65535)]] = [443]
    """Empty: every port."""
    networks: list[IPv4Network | IPv6Network] = []
    """Networks that are private or of this machine, and allowed all the same. A gateway in local mode takes whoever
    comes from its own machine for an admin: never allow that machine there."""
    ca_file: Path | None = None
    """Whose certificates are believed, beside the usual ones."""
    timeout: float = Field(default=10.0, gt=0, le=60)
    """Seconds that one try may take, from the look-up of the name to the answer."""
    answer_limit: int = Field(default=64 * 2**10, ge=0)
    """Bytes that are read of an answer; what it says beyond its status is of no interest."""
    per_host: int = Field(default=4, ge=1)
    """Events that are sent to one host at a time, so that a slow one leaves room for the others."""
    kept: float = Field(default=14.0, gt=0, le=365)
    """Days that deliveries are kept after they ended, dead letters too. Events that are older are not sent."""
    per_owner: int = Field(default=100, ge=0)
    """How many subscriptions one user may have."""
    look: float = Field(default=10.0, gt=0)
    """Seconds between two looks whether anybody wants to be told of anything."""


class QueueSettings(BaseModel):
    """How what waits is let go."""

    aging: float = Field(default=60.0, gt=0)
    """Seconds that others are preferred, after which a workload counts as one priority higher."""
    ahead: float = Field(default=2.0, ge=0)
    """Seconds of work that may lie in a backend's own queue, at the pace at which it started work of late."""
    at_least: int = Field(default=1, ge=0)
    """Workloads that may lie in a backend's own queue although it has no room, however slow it is."""
    recount: float = Field(default=60.0, gt=0)
    """Seconds after which everything is counted anew from the tables."""


class Limits(BaseModel):
    """How much anybody may have; none is no limit."""

    running_per_user: int | None = Field(default=None, ge=1)
    """Let go and not ended; what is more waits."""
    running_per_project: int | None = Field(default=None, ge=1)
    waiting_per_user: int | None = Field(default=50_000, ge=1)
    """Not let go yet; what is more is refused."""


class SchedulerSection(BaseModel):
    """The part of the file under `scheduler`."""

    health: Server = Server(port=8812)
    database_url: str = ""
    """By default a SQLite file in the data folder."""
    temporal: TemporalSettings = TemporalSettings()
    backends: list[BackendSettings] = Field(default=[BackendSettings()], min_length=1)
    placement: PlacementSettings = PlacementSettings()
    reread: float = Field(default=2.0, gt=0)
    """Seconds between two looks whether `backends` or `placement` were changed in the file."""
    watch: Watch = Watch()
    schedules: Schedules = Schedules()
    webhooks: Webhooks = Webhooks()
    mail: Mail = Mail()
    queue: QueueSettings = QueueSettings()
    limits: Limits = Limits()
    applications: ApplicationSettings = ApplicationSettings()
    pilots: PilotSettings = PilotSettings()

    @model_validator(mode="after")
    def _check_backends(self) -> Self:
        require_consistent(self.backends, self.placement)
        return self


def require_consistent(backends: Sequence[BackendSettings], placement: PlacementSettings) -> None:
    """Refuse two backends of one name, and policies that speak of none that there is; raises `ValueError`."""
    names = [item.name for item in backends]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"backends: {twice[0]!r} stands there twice")
    placement.require_known(names)


_SAID = ("SHUNTER_SCHEDULER__BACKENDS", "SHUNTER_SCHEDULER__PLACEMENT")


class SchedulerSettings(ChassisSettings):
    """Everything that the scheduler reads."""

    scheduler: SchedulerSection = SchedulerSection()
    storage: StorageGlance = StorageGlance()
    """What others say of the store."""

    @property
    def database_url(self) -> str:
        """Return where the tables are."""
        path = Path(self.data) / "db" / "scheduler.db"
        return self.scheduler.database_url or f"sqlite+aiosqlite:///{path.resolve()}"

    @property
    def followed_file(self) -> Path | None:
        """Return the file whose backends are followed; none where the environment says what they are."""
        named = os.environ.get("SHUNTER_CONFIG")
        said = any(name.startswith(_SAID) for name in os.environ)
        return Path(named) if named and not said else None
