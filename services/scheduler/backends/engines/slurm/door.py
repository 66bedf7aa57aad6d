"""What the engine needs of a Slurm, by whichever way it is reached."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping

from .batch import Batch
from .facts import ConfigFacts
from .nodes import Node
from .rows import Row

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
    async def comments(self, arrays: Collection[str]) -> Mapping[str, str]:
        """Return the comments of arrays, by their numbers."""

    @abstractmethod
    async def ended(self, ids: Collection[str]) -> Iterable[Row]:
        """Look up in the accounting what the controller has forgotten, where there is one."""

    @abstractmethod
    async def warn(self, ids: Collection[str]) -> None:
        """Tell the pilots of jobs that run that they are to end, and nobody else."""

    @abstractmethod
    async def end(self, ids: Collection[str]) -> None:
        """End jobs with all their processes."""

    @abstractmethod
    async def sweep(self, ids: Collection[str]) -> None:
        """Remove what jobs have left in files."""

    @abstractmethod
    async def nodes(self) -> list[Node]:
        """Return all nodes that jobs may get."""

    @abstractmethod
    async def facts(self, *, fresh: bool = False) -> ConfigFacts:
        """Return what the configuration says; *fresh* says that what was read before will not do."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of connections."""
