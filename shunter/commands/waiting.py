"""`hold`, `release`, `explain`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .printing import emit, emit_line
from .selection import find_job_id
from .session import AsJson, Job, session_of

if TYPE_CHECKING:
    from contracts.explanations import Explanation

__all__ = ["explain", "hold", "release"]

_Jobs = Annotated[list[str], typer.Argument(metavar="JOB...", help="Ids, names, or `last`.")]


def hold(ctx: typer.Context, jobs: _Jobs, as_json: AsJson = False) -> None:
    """Keep jobs that wait from starting, until they are released.

    Example: `shunter hold last`
    """
    with session_of(ctx).client() as client:
        for job_id in [find_job_id(client, job) for job in jobs]:
            found = client.hold(job_id)
            if as_json:
                emit_line(found or {"id": job_id, "status": "pending"})
            else:
                typer.echo(f"{job_id} {found.state if found else 'is being held'}")


def release(ctx: typer.Context, jobs: _Jobs, as_json: AsJson = False) -> None:
    """Let held jobs go, as far as nothing else holds them up.

    Example: `shunter release last`
    """
    with session_of(ctx).client() as client:
        for job_id in [find_job_id(client, job) for job in jobs]:
            found = client.release(job_id)
            if as_json:
                emit_line(found or {"id": job_id, "status": "pending"})
            else:
                typer.echo(f"{job_id} is released")


def explain(ctx: typer.Context, job: Job, as_json: AsJson = False) -> None:
    """Say why a job is where it is, what that rests on, and what comes next.

    Example: `shunter explain last`
    """
    with session_of(ctx).client() as client:
        found = client.explain(find_job_id(client, job))
    if as_json:
        emit(found)
    else:
        _print(found)


def _print(found: Explanation) -> None:
    typer.echo(f"{found.workload_id} is {found.state}: {found.message}")
    if found.position is not None:
        typer.echo(f"  position   {found.position}")
    for name, value in found.evidence.items():
        told = ", ".join(value) if isinstance(value, list) else f"{value:g}" if isinstance(value, float) else value
        typer.echo(f"  {name.replace('_', ' '):<10} {told}")
    if found.next_step:
        typer.echo(f"Next: {found.next_step}.")
