"""`audit`: tail, replay, export."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .outcomes import ExitCode, leave
from .printing import console, emit, emit_line, note, table, usual_time
from .session import AsJson, session_of
from .usage import FIGURES, figures_of

if TYPE_CHECKING:
    from contracts.usage import ReplayReport
    from shunter.models import EventItem

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown", help="The event log: `tail`, `replay`, `export`.")


@app.command()
def tail(
    ctx: typer.Context,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as things happen.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last events.")] = 20,
    hours: Annotated[float, typer.Option("--hours", min=0, help="How far to look back for them.")] = 24.0,
    job: Annotated[str | None, typer.Option(help="Only about this job (its id).")] = None,
    kind: Annotated[str | None, typer.Option("--type", help="Only this type, such as `workload.moved`.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the last events, one per line.

    Example: `shunter audit tail -f --type workload.moved`
    """
    from shunter.calls.records import EventFilter

    wanted = EventFilter(type=kind, job=job, since=datetime.now(UTC) - timedelta(hours=hours))
    show = emit_line if as_json else _print_event
    with session_of(ctx).client() as client:
        last = 0
        kept: deque[EventItem] = deque(maxlen=lines)
        for item in client.iter_events(wanted):
            kept.append(item)
            last = item.sequence
        for item in kept:
            show(item)
        if follow:
            for item in client.follow_events(wanted, since_sequence=last):
                if item.sequence > last:
                    show(item)


def _print_event(item: EventItem) -> None:
    event = item.event
    names = ("old", "new", "reason", "attempt", "path", "code", "detail", "message")
    facts = " ".join(f"{name}={event.data[name]}" for name in names if event.data.get(name) not in {None, ""})
    kind = event.type.removeprefix("org.shunter.")
    typer.echo(f"{item.sequence:>8}  {usual_time(event.time)}  {kind}  {event.subject}  {facts}  {event.actor}")


@app.command()
def replay(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Rebuild all figures from the event log alone and compare; exit 1 if they differ.

    Example: `shunter audit replay && echo the books are right`
    """
    with session_of(ctx).client() as client:
        found = client.replay_log()
    if as_json:
        emit(found)
    else:
        _print_report(found)
    raise leave(ExitCode.OK if found.equal else ExitCode.FAILED)


def _print_report(found: ReplayReport) -> None:
    rows = table("FIGURE", "KEPT", "REBUILT FROM THE LOG", right=("KEPT", "REBUILT FROM THE LOG"))
    for name, live, replayed in zip(
        FIGURES, figures_of(found.live.total), figures_of(found.replayed.total), strict=True
    ):
        rows.add_row(name, live, replayed, style=None if live == replayed else "red")
    screen = console()
    screen.print(rows)
    for difference in found.differences:
        screen.print(difference, markup=False, style="red")
    verdict = "[green]EQUAL[/green]" if found.equal else "[red]DIFFERENT[/red]"
    read = f"{found.events} events, up to {found.last_sequence}, in {found.seconds:.2f} s"
    screen.print(f"{verdict}  {read}")


@app.command()
def export(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="Events are added behind those that it holds already.")],
    as_json: AsJson = False,
) -> None:
    """Write every event that you may see to a file, one JSON document per line; goes on where an earlier one ended.

    Example: `shunter audit export events.jsonl`
    """
    from .exporting import export_events

    with session_of(ctx).client() as client:
        done = export_events(client.iter_events, file)
    if as_json:
        emit({"file": str(file), "events": done.events, "last_sequence": done.last_sequence, "sha256": done.sha256})
        return
    typer.echo(f"{done.sha256}  {file}")
    note(f"{done.added} events added, {done.events} in all, up to number {done.last_sequence}")
