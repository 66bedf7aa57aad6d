"""`batch`: list, show, cancel; and what `submit` does with many jobs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from .outcomes import ExitCode
from .printing import console, emit, emit_line, note, state_text, table, usual_time
from .session import AsJson, session_of

if TYPE_CHECKING:
    from contracts.batches import Batch, BatchSpec
    from shunter.client import Client

__all__ = ["app", "submit_batch"]

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Jobs that were submitted together: `list`, `show`, `cancel`. `shunter submit -f` makes them.",
)

_ID = re.compile(r"^bat-[0-9a-f]{32}$")

_Batch = Annotated[str, typer.Argument(metavar="BATCH", help="An id, or the name if only one has it.")]


def submit_batch(client: Client, spec: BatchSpec, *, key: str | None, wait: bool, as_json: bool) -> ExitCode:
    """Submit many jobs, and wait for their end if that is wanted."""
    found = client.submit_batch(spec, key=key)
    if found.batch is None:
        if as_json:
            emit_line({"id": found.id, "status": "pending"})
        else:
            typer.echo(f"{found.id} kept")
            note("The scheduler is away. The jobs are kept and will run when it is back.")
        return ExitCode.OK
    if not wait:
        _print(found.batch, as_json=as_json)
        return ExitCode.OK
    if not as_json:
        note(f"{found.id} {len(found.batch.jobs)} jobs")
    return _see_through(client, found.batch, as_json=as_json)


def _see_through(client: Client, batch: Batch, *, as_json: bool) -> ExitCode:
    from contracts.batches import BatchState

    try:
        while batch.state is BatchState.ACTIVE:
            client.wait(next(job.job_id for job in batch.jobs if not job.state.is_terminal))
            batch = client.get_batch(batch.id)
    except KeyboardInterrupt:
        note(f"\nThe jobs go on. `shunter batch show {batch.id}` shows them, `shunter batch cancel …` ends them.")
        raise
    _print(batch, as_json=as_json)
    return ExitCode.OK if batch.state is BatchState.SUCCEEDED else ExitCode.FAILED


def _print(batch: Batch, *, as_json: bool) -> None:
    if as_json:
        emit_line(batch)
        return
    from rich.markup import escape

    typer.echo(f"{batch.id} {batch.state}{f', {batch.name}' if batch.name else ''}")
    rows = table("KEY", "JOB", "STATE", "AFTER", "WHY")
    for job in batch.jobs:
        after = ", ".join(f"{item.key or item.job} ({item.on})" for item in job.after)
        rows.add_row(escape(job.key), job.job_id, state_text(job.state.value), after or "-", escape(job.message))
    console().print(rows)


@app.command("list")
def list_batches(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Option("--name", "-n", help="Only this name.")] = None,
    owner: Annotated[str | None, typer.Option(help="Only this owner's.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="At most so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List batches and how many of their jobs stand where.

    Example: `shunter batch list`
    """
    with session_of(ctx).client() as client:
        found = client.list_batches(name=name, owner=owner, limit=limit).items
    if as_json:
        emit(found)
        return
    from rich.markup import escape

    rows = table("ID", "NAME", "STATE", "JOBS", "CREATED")
    for one in found:
        jobs = ", ".join(f"{count} {state}" for state, count in one.counts.items())
        rows.add_row(one.id, escape(one.name or "-"), one.state.value, jobs, usual_time(one.created_at))
    console().print(rows)


@app.command("show")
def show(ctx: typer.Context, batch: _Batch, as_json: AsJson = False) -> None:
    """Show the jobs of a batch, what they wait for and how they stand.

    Example: `shunter batch show sweep`
    """
    with session_of(ctx).client() as client:
        _print(client.get_batch(_find(client, batch)), as_json=as_json)


@app.command("cancel")
def cancel(ctx: typer.Context, batch: _Batch, as_json: AsJson = False) -> None:
    """End all jobs of a batch.

    Example: `shunter batch cancel sweep`
    """
    with session_of(ctx).client() as client:
        batch_id = _find(client, batch)
        found = client.cancel_batch(batch_id)
    if as_json:
        emit(found or {"id": batch_id, "status": "pending"})
    else:
        typer.echo(f"{batch_id} is being cancelled")


def _find(client: Client, wanted: str) -> str:
    """Return the identifier: itself, or that of the one batch of this name."""
    from contracts.errors import InvalidError, NotFoundError

    if _ID.match(wanted):
        return wanted
    found = client.list_batches(name=wanted, limit=5).items
    if not found:
        raise NotFoundError(f"no batch has the id or the name {wanted!r}")
    if len(found) > 1:
        listed = ", ".join(f"{one.id} ({one.state}, {usual_time(one.created_at)})" for one in found)
        raise InvalidError(f"several batches are called {wanted!r}; say which: {listed}")
    return found[0].id
