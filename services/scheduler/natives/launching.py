"""What a native job runs, and with what."""

from __future__ import annotations

from abc import ABC, abstractmethod

from contracts.errors import UnavailableError
from services.scheduler.backends.engines.base import Launch

__all__ = ["Launcher", "NoLauncher"]


class Launcher(ABC):
    """Makes what native jobs are started with."""

    @abstractmethod
    async def launch(self, native: str, backend: str) -> Launch:
        """Return it for the native job of that name; raises `UnavailableError` while something is not there."""


class NoLauncher(Launcher):
    """Nothing to launch yet."""

    async def launch(self, native: str, backend: str) -> Launch:
        """Say so."""
        raise UnavailableError(f"{native} of {backend}: the pilot is not there")
