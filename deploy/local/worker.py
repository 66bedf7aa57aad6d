"""A machine of one's own that takes work from a site: the resident runner, over REST."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

__all__ = ["WorkerOptions", "run_worker"]


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
    as_json: bool = False


def run_worker(connect: Callable[[], httpx.AsyncClient], options: WorkerOptions) -> None:
    """Take work and do it until told to stop."""
    found: dict[str, Any] = {"backend": options.backend, "work": options.work.absolute()}
    for name in ("name", "cpus", "memory", "gpus"):
        if (value := getattr(options, name)) is not None:
            found[name] = value
    runner = import_module("services.scheduler.runner.settings")
    settings = runner.RunnerSettings(
        runner=runner.RunnerSection(**found), log={"format": "json" if options.as_json else "text"}
    )
    import_module("services.scheduler.runner.pulling.main").run(connect, settings, options.architecture)
