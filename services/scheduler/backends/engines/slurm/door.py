"""What the engine needs of a Slurm, by whichever way it is reached."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable

from .batch import Batch
from .facts import ConfigFacts
from .nodes import Node
from .rows import Detail, Row

__all__ = ["Door"]


class Door(ABC):
    """Calls that return soon. `UnavailableError` says that Slurm does not answer."""

    @abstractmethod
    async def submit(self, batch: Batch) -> str:
        """Start a batch, and return the number of the job; `RefusedError` in Slurm's words."""

    @abstractmethod
    async def queue(self) -> list[Row]:
        """Return all jobs that the controller knows of our user. What has not changed is the same object again."""

    @abstractmethod
    async def details(self, numbers: Collection[str]) -> Iterable[Detail]:
        """Return more of the jobs and arrays of these numbers."""

    @abstractmethod
    async def ended(self, numbers: Collection[str]) -> Iterable[Row]:
        """Look up in the accounting what the controller has forgotten, where there is one."""

    @abstractmethod
    async def warn(self, ids: Collection[str]) -> None:
        """Tell the pilots of jobs that run, by their native ids, that they are to end, and nobody else."""

    @abstractmethod
    async def end(self, ids: Collection[str]) -> None:
        """End jobs, by their native ids, with all their processes."""

    @abstractmethod
    async def sweep(self, numbers: Collection[str]) -> None:
        """Remove what jobs have left in files."""

    @abstractmethod
    async def nodes(self) -> list[Node]:
        """Return all nodes that jobs may get."""

    @abstractmethod
    async def facts(self, *, fresh: bool = False) -> ConfigFacts:
        """Return what the configuration says, and when the controller began; *fresh* asks now."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of connections."""
