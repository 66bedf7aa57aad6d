"""Staying with a job until it ends."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal

import typer

from contracts.states import WorkloadState

from .outcomes import ExitCode
from .printing import duration, emit_line, note

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shunter.client import Client
    from shunter.models import JobView, LogChunk, Submission

__all__ = ["report_end", "show_chunks", "wait_for_end"]


def wait_for_end(
    client: Client,
    job: Submission | str,
    *,
    follow: bool,
    timeout: float | None = None,
    logs_to_stderr: bool = False,
) -> JobView:
    """Wait for the end of a job, showing what it prints if that is wanted."""
    job_id = job if isinstance(job, str) else job.id
    try:
        if follow:
            if not isinstance(job, str) and job.is_pending:
                client.wait_until_known(job)  # nothing can be followed before the scheduler has taken it
            show_chunks(client.follow_log(job_id), only="stderr" if logs_to_stderr else None)
        return client.wait(job, timeout=timeout)
    except KeyboardInterrupt:
        note(f"\nThe job goes on. `shunter logs -f {job_id}` shows more, `shunter cancel {job_id}` ends it.")
        raise


def show_chunks(chunks: Iterable[LogChunk], *, only: Literal["stdout", "stderr"] | None = None) -> None:
    """Print what a job prints, byte by byte as it was, to the stream it chose or *only* to one."""
    for chunk in chunks:
        stream = sys.stderr if (only or chunk.stream) == "stderr" else sys.stdout
        stream.flush()
        stream.buffer.write(chunk.data)
        stream.buffer.flush()


def report_end(job: JobView, *, as_json: bool) -> ExitCode:
    """Say how a job ended, and what that means to a script."""
    if as_json:
        emit_line(job)
    else:
        took = (job.finished_at - job.started_at).total_seconds() if job.finished_at and job.started_at else None
        code = f", exit code {job.exit_code}" if job.exit_code else ""
        why = f": {job.message}" if job.message else ""
        colour = "green" if job.state is WorkloadState.SUCCEEDED else "red"
        typer.secho(f"{job.id} {job.state}{code}{why} ({duration(took)})", fg=colour, err=True)
    return ExitCode.OK if job.state is WorkloadState.SUCCEEDED else ExitCode.FAILED
