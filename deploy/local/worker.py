"""A machine of one's own that takes work from a site: the resident runner, over REST."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

__all__ = ["WorkerOptions", "find_engine", "run_worker"]

_SOCKET = Path("/var/run/docker.sock")


def find_engine(wanted: str) -> str | None:
    """Return where the container engine listens: `auto` is the one of `DOCKER_HOST`, or of this machine, if any."""
    if wanted != "auto":
        return None if wanted == "none" else wanted
    named = os.environ.get("DOCKER_HOST", "")
    if named.startswith("unix://"):
        return named
    return f"unix://{_SOCKET}" if _SOCKET.is_socket() and os.access(_SOCKET, os.W_OK) else None


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """What a worker is told; what is none is found out."""

    work: Path
    """Where jobs have their folders."""
    backend: str = "pull"
    name: str | None = None
    cpus: float | None = None
    memory: str | None = None
    gpus: int | None = None
    architecture: str | None = None
    """Of its GPUs."""
    engine: str | None = None
    """The socket of a container engine, as an URL."""
    network: str | None = None
    """Of containers."""
    pull: str | None = None
    """When images are fetched."""
    as_json: bool = False

    @property
    def containers(self) -> dict[str, str] | None:
        """Return what is said of containers; none if there is no engine."""
        if self.engine is None:
            return None
        more = {"network": self.network, "pull": self.pull}
        return {"url": self.engine, **{name: value for name, value in more.items() if value is not None}}


def run_worker(connect: Callable[[], httpx.AsyncClient], options: WorkerOptions) -> None:
    """Take work and do it until told to stop."""
    found: dict[str, Any] = {"backend": options.backend, "work": options.work.absolute()}
    for name in ("name", "cpus", "memory", "gpus", "containers"):
        if (value := getattr(options, name)) is not None:
            found[name] = value
    runner = import_module("services.scheduler.runner.settings")
    settings = runner.RunnerSettings(
        runner=runner.RunnerSection(**found), log={"format": "json" if options.as_json else "text"}
    )
    import_module("services.scheduler.runner.pulling.main").run(connect, settings, options.architecture)
