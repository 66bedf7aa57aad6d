"""`wait`, `cancel`, `start`, `retry`, `rm`."""

from __future__ import annotations

from typing import Annotated

import typer

from .outcomes import leave
from .printing import emit, emit_line
from .selection import find_job_id
from .session import AsJson, Job, session_of

__all__ = ["cancel", "remove", "retry", "start", "wait"]

_Jobs = Annotated[list[str], typer.Argument(metavar="JOB...", help="Ids, numbers, names, or `last`.")]


def wait(
    ctx: typer.Context,
    jobs: _Jobs,
    timeout: Annotated[float | None, typer.Option(min=0, help="Seconds; exit 5 when they are over.")] = None,
    as_json: AsJson = False,
) -> None:
    """Wait until jobs have ended; exit 1 if one did not succeed.

    Example: `shunter wait last && echo fine`
    """
    from .endings import report_end, wait_for_end

    with session_of(ctx).client() as client:
        ids = [find_job_id(client, job) for job in jobs]
        ends = [wait_for_end(client, job_id, follow=False, timeout=timeout) for job_id in ids]
    raise leave(max(report_end(job, as_json=as_json) for job in ends))


def cancel(
    ctx: typer.Context,
    jobs: _Jobs,
    tasks: Annotated[str | None, typer.Option("--tasks", help="Only these tasks of an array: `3,7-10`.")] = None,
    and_wait: Annotated[bool, typer.Option("--wait", help="Return when they have ended.")] = False,
    as_json: AsJson = False,
) -> None:
    """End jobs, wherever they stand; what they have printed is kept.

    Example: `shunter cancel --wait last`
    """
    with session_of(ctx).client() as client:
        for job_id in [find_job_id(client, job) for job in jobs]:
            found = client.cancel(job_id, tasks=tasks)
            found = client.wait(job_id) if and_wait else found
            if as_json:
                emit_line(found or {"id": job_id, "status": "pending"})
            else:
                what = "is being cancelled" if tasks is None else f"tasks {tasks} are being cancelled"
                typer.echo(f"{job_id} {found.state if found and found.state.is_terminal else what}")


def remove(ctx: typer.Context, jobs: _Jobs, as_json: AsJson = False) -> None:
    """Have jobs gone, with their outputs and logs; those that have not ended are cancelled.

    What they used stays in the figures, and the event log keeps what happened.

    Example: `shunter rm last`
    """
    with session_of(ctx).client() as client:
        for job_id in [find_job_id(client, job) for job in jobs]:
            done = client.remove(job_id)
            if as_json:
                emit_line({"id": job_id, "status": "removed" if done else "pending"})
            else:
                typer.echo(f"{job_id} {'is gone' if done else 'will be gone as soon as the scheduler is back'}")


def start(ctx: typer.Context, job: Job, as_json: AsJson = False) -> None:
    """Let a held job go.

    Example: `shunter submit --hold -- make tea`, then `shunter start last`
    """
    with session_of(ctx).client() as client:
        job_id = find_job_id(client, job)
        found = client.start(job_id)
    if as_json:
        emit(found or {"id": job_id, "status": "pending"})
    else:
        typer.echo(f"{job_id} {found.state if found and found.state != 'held' else 'is released'}")


def retry(
    ctx: typer.Context,
    job: Job,
    failed: Annotated[bool, typer.Option("--failed", help="Of an array only the tasks that failed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run an ended job again, as a new one.

    Example: `shunter retry last`, or `shunter retry --failed last` for an array
    """
    with session_of(ctx).client() as client:
        found = client.retry(find_job_id(client, job), tasks="failed" if failed else "all")
    if as_json:
        emit(found.job or {"id": found.id, "status": "pending"})
    else:
        typer.echo(f"{found.id} {found.job.state if found.job else 'kept'}")
