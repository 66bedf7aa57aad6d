"""Moves of attempts that held room, as the scheduler announces them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from contracts.events import WorkloadMoved
from contracts.ids import workload_id_from
from contracts.states import Reason, WorkloadState
from contracts.workloads import Allocation, Usage

__all__ = ["GIB", "NOON", "closing_move", "job", "moves_of_a_run", "opening_move", "plain_move"]

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
GIB = 2**30


def job(number: int = 1) -> str:
    """Return a workload's identifier, the same for the same number."""
    return workload_id_from("test", str(number))


def plain_move(number: int = 1, *, owner: str = "ada", revision: int = 2, at: datetime = NOON) -> WorkloadMoved:
    """Return a move that says nothing about room."""
    return WorkloadMoved(
        workload_id=job(number),
        owner=owner,
        revision=revision,
        old=WorkloadState.ACCEPTED,
        new=WorkloadState.QUEUED,
        at=at,
        attempt=1,
        reason=Reason.PLACED,
    )


def opening_move(
    number: int = 1,
    *,
    owner: str = "ada",
    project: str | None = "tea",
    attempt: int = 1,
    revision: int = 3,
    at: datetime = NOON,
    backend: str = "local",
    cpus: float = 2.0,
    memory: int = 4 * GIB,
    gpus: int = 0,
    gpu_model: str = "",
) -> WorkloadMoved:
    """Return the move with which an attempt begins to hold room."""
    return WorkloadMoved(
        workload_id=job(number),
        owner=owner,
        project=project,
        revision=revision,
        old=WorkloadState.QUEUED,
        new=WorkloadState.STARTING,
        at=at,
        attempt=attempt,
        reason=Reason.STARTED,
        backend=backend,
        allocation=Allocation(backend=backend, node="n1", cpus=cpus, memory=memory, gpus=gpus, gpu_model=gpu_model),
    )


def closing_move(
    number: int = 1,
    *,
    owner: str = "ada",
    project: str | None = "tea",
    attempt: int = 1,
    revision: int = 6,
    at: datetime = NOON + timedelta(hours=1),
    wall_seconds: float = 3600.0,
    cpu_seconds: float = 5400.0,
    gpu_seconds: float = 0.0,
    memory_peak: int | None = 3 * GIB,
) -> WorkloadMoved:
    """Return the move with which an attempt gives its room back."""
    return WorkloadMoved(
        workload_id=job(number),
        owner=owner,
        project=project,
        revision=revision,
        old=WorkloadState.RUNNING,
        new=WorkloadState.FINISHING,
        at=at,
        attempt=attempt,
        reason=Reason.EXITED,
        usage=Usage(
            wall_seconds=wall_seconds, cpu_seconds=cpu_seconds, gpu_seconds=gpu_seconds, memory_peak=memory_peak
        ),
    )


def moves_of_a_run(
    number: int, *, owner: str = "ada", project: str | None = "tea", hours: float = 1.0
) -> list[WorkloadMoved]:
    """Return what accounting hears of one run."""
    end = NOON + timedelta(hours=hours)
    return [
        plain_move(number, owner=owner),
        opening_move(number, owner=owner, project=project),
        closing_move(number, owner=owner, project=project, at=end),
    ]
