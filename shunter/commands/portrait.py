"""A job on one screen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .printing import console, duration, size, state_text, table, usual_time

if TYPE_CHECKING:
    from rich.table import Table

    from contracts.spec import JobSpec
    from contracts.workloads import Transition
    from shunter.models import JobView

__all__ = ["portray"]


def portray(job: JobView, moves: list[Transition]) -> None:
    """Print all about a job."""
    from rich.markup import escape

    screen = console()
    screen.print(f"[bold]{job.id}[/bold]  {escape(job.name or '')}  {state_text(job.state.value)}")
    for name, value in _facts(job):
        screen.print(f"  {name:<10} {escape(value)}")
    screen.print("\n[bold]States[/bold]")
    screen.print(_states(moves))
    screen.print("\n[bold]Resources[/bold]")
    screen.print(_resources(job))
    if job.outputs or job.logs:
        screen.print("\n[bold]Left behind[/bold]")
        screen.print(_files(job))
    if link := job.links.get("temporal_ui"):
        screen.print(f"\nWorkflow: {link}")


def _facts(job: JobView) -> Iterator[tuple[str, str]]:
    yield "owner", job.owner + (f", project {job.project}" if job.project else "")
    if job.number is not None:
        yield "number", str(job.number)
    yield "runs", _what(job.spec)
    if job.labels:
        yield "labels", ", ".join(f"{name}={value}" for name, value in job.labels.items())
    yield "attempt", f"{job.attempt}" + (f" on {job.backend}" if job.backend else "")
    if job.native_id:
        yield "native id", job.native_id
    if job.exit_code is not None:
        yield "exit code", str(job.exit_code)
    if job.message:
        yield "message", job.message
    if job.retry_of:
        yield "retry of", job.retry_of
    if job.cancel_requested and not job.state.is_terminal:
        yield "cancel", "asked for"


def _what(spec: JobSpec) -> str:
    if spec.application:
        return spec.application.title
    return " ".join(spec.argv) if spec.argv else "a script"


def _states(moves: list[Transition]) -> Table:
    rows = table("STATE", "AT", "AFTER", "ATTEMPT", "REASON", right=("AFTER", "ATTEMPT"))
    before = None
    for move in moves:
        after = duration((move.at - before).total_seconds()) if before else ""
        rows.add_row(state_text(move.state.value), usual_time(move.at), after, str(move.attempt), move.reason.value)
        before = move.at
    return rows


def _resources(job: JobView) -> Table:
    """Lay what was asked, given and used side by side."""
    asked, given, used = job.spec.resources, job.allocation, job.usage
    rows = table("", "ASKED", "GIVEN", "USED", right=("ASKED", "GIVEN", "USED"))
    gpu = f"{given.gpus}" + (f" {given.gpu_model}" if given.gpu_model else "") if given else "-"
    rows.add_row(
        "CPU",
        f"{asked.total_cpus:g}",
        f"{given.cpus:g}" if given else "-",
        _seconds(used.cpu_seconds if used else None, "CPU"),
    )
    rows.add_row(
        "memory",
        size(asked.total_memory),
        size(given.memory or None) if given else "-",
        size(used.memory_peak) if used else "-",
    )
    rows.add_row(
        "GPU", str(asked.total_gpus), gpu, _seconds(used.gpu_seconds if used and _has_gpu(job) else None, "GPU")
    )
    if used and used.gpu_memory_peak:
        rows.add_row("GPU memory", "-", "-", size(used.gpu_memory_peak))
    rows.add_row("time", duration(asked.walltime.total_seconds()), "-", duration(used.wall_seconds) if used else "-")
    return rows


def _has_gpu(job: JobView) -> bool:
    return bool(job.spec.resources.total_gpus or (job.allocation and job.allocation.gpus))


def _seconds(value: float | None, what: str) -> str:
    return "-" if value is None else f"{value:.2f} {what} s"


def _files(job: JobView) -> Table:
    from rich.markup import escape

    rows = table("FILE", "SIZE", "SHA256", right=("SIZE",))
    for file in (*job.outputs, *job.logs):
        rows.add_row(escape(file.at or file.path), size(file.size), file.sha256)
    return rows
