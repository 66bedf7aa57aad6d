"""`parked`: messages that no service could handle, for operators."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from .outcomes import ShunterGroup
from .printing import ago, console, emit, note, size, table
from .session import AsJson, session_of

if TYPE_CHECKING:
    from contracts.operations import ParkedChange

__all__ = ["app"]

app = typer.Typer(cls=ShunterGroup, no_args_is_help=True, help="Messages that could not be handled, for operators.")

Sequences = Annotated[list[int] | None, typer.Argument(metavar="[N]...", help="Their numbers, from `parked list`.")]
Service = Annotated[str | None, typer.Option("--service", help="Only those this service could not handle.")]
Subject = Annotated[str | None, typer.Option("--subject", help="Only those sent to subjects that begin so.")]
Everything = Annotated[bool, typer.Option("--all", help="All of them.")]


@app.command("list")
def list_(
    ctx: typer.Context,
    service: Service = None,
    subject: Subject = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="At most so many.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List them, oldest first.

    Example: `shunter parked list --service scheduler`
    """
    with session_of(ctx).client() as client:
        found = client.operations.list_parked(service=service, subject=subject, limit=limit)
    if as_json:
        emit(found)
        return
    from rich.markup import escape

    rows = table("N", "AGE", "SERVICE", "TRIES", "SIZE", "SUBJECT", "ERROR", right=("N", "AGE", "TRIES", "SIZE"))
    for item in found.items:
        facts = (str(item.sequence), ago(item.parked_at), item.service, str(item.deliveries), size(item.size))
        rows.add_row(*facts, escape(item.subject), escape(item.error))
    console().print(rows)
    if found.next_cursor:
        note("there are more: say --limit, or narrow it")


@app.command()
def show(
    ctx: typer.Context,
    sequence: Annotated[int, typer.Argument(metavar="N", help="Its number, from `parked list`.")],
    as_json: AsJson = False,
) -> None:
    """Look into one; secrets are left out.

    Example: `shunter parked show 7`
    """
    with session_of(ctx).client() as client:
        found = client.operations.get_parked(sequence)
    if as_json:
        emit(found)
        return
    for name in ("sequence", "parked_at", "service", "subject", "message_id", "deliveries", "error"):
        typer.echo(f"{name:12} {getattr(found, name)}")
    typer.echo(json.dumps({"envelope": found.envelope, "body": found.body}, indent=2, ensure_ascii=False))


@app.command()
def resend(
    ctx: typer.Context,
    sequences: Sequences = None,
    service: Service = None,
    subject: Subject = None,
    everything: Everything = False,
    as_json: AsJson = False,
) -> None:
    """Send some again to where they were sent first; what was handled meanwhile is not handled twice.

    Example: `shunter parked resend 7 8`, or all of one service: `shunter parked resend --service scheduler`
    """
    with session_of(ctx).client() as client:
        act = client.operations.resend_parked
        if sequences:
            done = [act(number) for number in sequences]
        else:
            done = [act(service=service, subject=subject, everything=everything)]
    _tell(done, "sent again", as_json=as_json)


@app.command()
def drop(
    ctx: typer.Context,
    sequences: Sequences = None,
    service: Service = None,
    subject: Subject = None,
    everything: Everything = False,
    as_json: AsJson = False,
) -> None:
    """Drop some for good.

    Example: `shunter parked drop 7`, or `shunter parked drop --all`
    """
    with session_of(ctx).client() as client:
        act = client.operations.drop_parked
        if sequences:
            done = [act(number) for number in sequences]
        else:
            done = [act(service=service, subject=subject, everything=everything)]
    _tell(done, "dropped", as_json=as_json)


def _tell(done: list[ParkedChange], what: str, *, as_json: bool) -> None:
    numbers = [number for change in done for number in change.sequences]
    if as_json:
        emit({"sequences": numbers, "more": any(change.more for change in done)})
        return
    typer.echo(f"{len(numbers)} {what}")
    if any(change.more for change in done):
        note("there are more: say it again")
