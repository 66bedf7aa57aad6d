"""What every backend promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.runs import RunTask
from contracts.states import Reason

__all__ = ["Backend", "Cancelled", "Capability", "Capacity", "NativeJob", "Observation", "Portions", "Sighting"]


class Capability(StrEnum):
    """What only some backends can do; placement reads it."""

    ARCHITECTURES = "architectures"
    """It knows which architecture its GPUs have."""
    ARRAYS = "arrays"
    ENVIRONMENTS = "environments"
    """Its machines are of several sorts."""
    GPUS = "gpus"
    IMAGES = "images"
    MULTI_NODE = "multi-node"


@dataclass(frozen=True, slots=True)
class NativeJob:
    """An attempt as the cluster knows it: enough to find it again after a restart."""

    workload_id: str
    attempt: int
    native_id: str


class Observation(StrEnum):
    """Where an attempt stands on the backend."""

    QUEUED = "queued"
    RUNNING = "running"
    ENDED = "ended"
    """It is over; its last report is on the way."""


@dataclass(frozen=True, slots=True)
class Portions:
    """In how large bundles a backend likes the tasks of an array."""

    window: int = 16
    """Bundles of one array that it may have at once: enough for several runners to share them."""
    largest: int = 500
    """Tasks of one bundle: a report, an event and a transaction hold that many with ease."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """What a cluster with a queue of its own said last of an attempt."""

    name: str
    """By which people find it there."""
    native_id: str
    state: str
    reason: str = ""
    """In the words of the cluster: why it waits, or why it could not be started."""
    node: str = ""


class Cancelled(StrEnum):
    """What came of a cancel."""

    GONE = "gone"
    """Nothing of it is on the backend, and no report will come."""
    ENDING = "ending"
    """It is being ended; a last report will come."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """Room: in all, and free. Memory in bytes."""

    cpus: float
    cpus_free: float
    memory: int
    memory_free: int
    gpus: int = 0
    gpus_free: int = 0
    gpu_models: tuple[str, ...] = ()
    gpus_free_of: tuple[tuple[str, int], ...] = ()
    """How many are free of each model, as far as it is known; of the only model there is, all that are free."""
    running: int = 0
    queued: int = 0
    largest_cpus: float = 0.0
    """The most that one process can get; likewise below."""
    largest_memory: int = 0
    largest_gpus: int = 0
    clocks_off: tuple[tuple[str, float], ...] = ()
    """Runners and the seconds by which their clock differs from ours, where that is much."""
    lacks: tuple[str, ...] = ()
    """What others of its kind can do and this one cannot, each a sentence for an operator."""


class Backend(ABC):
    """A cluster. Every call returns soon, repeats harmlessly, and is silent about what is gone.

    `RefusedError` says that the job is bad, `UnavailableError` that the day is.
    """

    name: str
    kind: str
    capabilities: frozenset[Capability] = frozenset()
    is_prompt: bool = False
    """Whether a short job may end within moments of its submission, so that it is worth a short wait."""
    on_request: bool = False
    """Whether only those jobs go there that name it."""
    is_patient: bool = False
    """Whether its queue takes whatever comes, and as much as comes: the machine for it may turn up later."""
    lost_attempts: int | None = None
    """How many attempts of a job may get lost here, if that is not what it is elsewhere."""
    queue: int | None = None
    """How many attempts that have not begun may lie in a queue of its own; none where it has none worth speaking of,
    so that it is given only what it has room for."""
    is_near: bool = False
    """Whether asking it for its room costs so little that it is asked every time."""

    options: type[BaseModel] | None = None
    """The model of what a job may say to it in `placement.options`, under its kind; none if it may say nothing."""

    @abstractmethod
    async def submit(self, task: RunTask) -> None:
        """Hand an attempt over. The same attempt twice is one native job; an error leaves nothing behind.

        Its native name is `contracts.runs.run_name`, known before, so that a crash in between loses nothing.
        """

    @abstractmethod
    async def observe(self, job: NativeJob) -> Observation | None:
        """Say where the attempt stands, or None if the backend knows nothing of it."""

    @abstractmethod
    async def cancel(self, job: NativeJob, tasks: str | None = None) -> Cancelled:
        """End the attempt with its whole process tree; of a bundle *tasks* alone, where it can still be divided."""

    async def take_back(self, job: NativeJob) -> Cancelled | None:
        """End an attempt unless it has begun, which is None; another backend is to have it."""
        return await self.cancel(job)

    def portions(self, task: RunTask) -> Portions:  # noqa: ARG002 (some go by what they are to run)
        """Say in how large bundles it likes tasks such as this one."""
        return Portions()

    async def sight(self, job: NativeJob) -> Sighting | None:  # noqa: ARG002 (not every backend is a cluster)
        """Return what the cluster said last of an attempt, if there is one that says something."""
        return None

    async def note_end(self, connection: AsyncConnection, job: NativeJob, reason: Reason) -> bool:  # noqa: ARG002
        """Take note, in the same transaction, that an attempt's last word was read.

        Returns whether the backend knows better how it ended, and will tell that in the place of whoever asks.
        """
        return False

    @abstractmethod
    async def capacity(self) -> Capacity:
        """Return the room there is; raises `UnavailableError` when the backend does not answer."""
