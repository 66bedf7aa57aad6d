"""What the engine of a cluster promises: it starts native jobs, lists them all at once, stops and removes them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel

from contracts.errors import ShunterError
from contracts.states import Reason
from services.scheduler.backends.base import Capability, Capacity

__all__ = ["Engine", "EngineMeans", "Launch", "Native", "NativeState", "Order", "Seen", "Started"]


@dataclass(frozen=True, slots=True)
class Launch:
    """How the pilot comes to a node: one file, run by `script`, with what it must know in the environment."""

    script: str
    """A POSIX shell script that finds Python, fetches and checks the pilot, and becomes it. It holds no secret."""
    env: Mapping[str, str]
    """`SHUNTER_…`, secrets of this one native job among them: they go into an environment or a file that only its
    user reads, never into argv."""
    file: Path
    """The pilot on this machine, for engines that mount or copy it; `SHUNTER_PILOT_FILE` says where it lies there."""


@dataclass(frozen=True, slots=True)
class Order:
    """One native job that is to be started. Memory in bytes, times in seconds.

    `cpus`, `memory` and `gpus` are those of the whole job, of all its processes on all its nodes together.
    """

    name: str
    """Its name on the cluster, known before: starting it twice is one job. A DNS label of at most 52 characters."""
    owner: str
    project: str | None
    title: str
    """For people who look at the cluster: the name of the job, if it has one."""
    launch: Launch
    cpus: float
    memory: int | None
    gpus: int
    walltime: float
    """With some grace: the pilot ends the program itself at its own walltime."""
    gpu_model: str | None = None
    gpu_memory: int | None = None
    nodes: int = 1
    processes: int = 1
    image: str | None = None
    files: str | None = None
    """Where the program expects its working folder, such as `/files`."""
    priority: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    """What the job's `placement.options` say for this kind of backend, as the user wrote it."""
    fresh: bool = False
    """Whether nobody has tried to start it yet: the cluster need not be asked for it first."""


@dataclass(frozen=True, slots=True)
class Started:
    """What came of one order: it was started (again, or long ago) under a native id, or was not, and why."""

    native_id: str = ""
    error: ShunterError | None = None
    """`RefusedError`: this cluster will never take it. `UnavailableError`: nobody knows, or it may later."""


@dataclass(frozen=True, slots=True)
class Native:
    """A native job that was started and whose end is not known yet."""

    name: str
    native_id: str


class NativeState(StrEnum):
    """Where a native job stands."""

    WAITING = "waiting"
    """It has not begun, or is to begin anew: whatever ran of it before is no more. What is suspended is RUNNING."""
    RUNNING = "running"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Seen:
    """What the cluster says of one native job."""

    name: str
    native_id: str
    state: NativeState
    reason: str = ""
    """In the words of the cluster: why it waits, or how it ended."""
    ending: Reason | None = None
    """With ENDED, unless its program ended by itself: LOST (node failed), INTERRUPTED (preempted, evicted), MEMORY,
    WALLTIME, CANCELED (somebody ended it on the cluster), REFUSED (it can never start here: no such image)."""
    exit_code: int | None = None
    node: str = ""


@dataclass(frozen=True, slots=True)
class EngineMeans:
    """What an engine gets from us."""

    backend: str
    """The name of the backend."""
    site: str
    """A word that tells our native jobs from those of another Shunter on the same cluster; each name begins with it."""
    data: Path
    """A folder of the engine's own on this machine."""


class Engine(ABC):
    """A cluster, as its own commands or API show it. It keeps nothing that it could not find again after a restart.

    Calls may be under way side by side: a `look` does not wait for a `start`. Of one method there is one at a time.
    `UnavailableError` says that the cluster does not answer, with the reason; `RefusedError` that it answers no.
    """

    kind: ClassVar[str]
    Settings: ClassVar[type[BaseModel]]
    """The model of its part of the file, under the name of its kind."""
    Options: ClassVar[type[BaseModel] | None] = None
    """The model of what a job may say for this kind of backend in `placement.options`; none if it may say nothing."""
    capabilities: ClassVar[frozenset[Capability]] = frozenset()
    mpirun: ClassVar[str] = ""
    """What starts all processes of a program here, where the site does not say otherwise."""
    looks_every: float = 2.0
    """Seconds between two looks at all native jobs."""

    @property
    def leaves_remains(self) -> bool:
        """Say whether something is left of native jobs that have ended, until `remove` is called."""
        return type(self).remove is not Engine.remove

    def __init__(self, settings: Any, means: EngineMeans) -> None:
        self.settings = settings
        self.means = means

    async def open(self) -> None:  # noqa: B027 (not every engine needs something)
        """Make what it needs; the cluster may be away."""

    async def close(self) -> None:  # noqa: B027 (nor has something to let go of)
        """Let go of connections. Native jobs live on."""

    @abstractmethod
    async def start(self, orders: Sequence[Order]) -> list[Started]:
        """Start native jobs; one answer for each, in their order. One whose name is there already is not doubled."""

    @abstractmethod
    async def look(self, known: Collection[Native]) -> Mapping[str, Seen]:
        """Say of all native jobs of ours how they stand, by name, with few calls however many there are.

        *known* are those that are expected; one that the cluster has forgotten is left out. Those that nobody expects
        are in the answer too, so that orphans are found.
        """

    @abstractmethod
    async def stop(self, natives: Collection[Native]) -> None:
        """Have native jobs end with their whole process trees; those that wait are taken out of the queue.

        SIGTERM to the pilot first, time for its last words, then SIGKILL. Silent about what is gone.
        """

    async def remove(self, natives: Collection[Native]) -> None:  # noqa: B027 (nor leaves something)
        """Remove what is left of native jobs that have ended, where something is left. Silent about what is gone."""

    @abstractmethod
    async def capacity(self) -> Capacity:
        """Return the room of the cluster."""
