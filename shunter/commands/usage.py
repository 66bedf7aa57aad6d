"""`usage`: what was used."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from .printing import console, emit, note, size, table
from .session import AsJson, session_of

if TYPE_CHECKING:
    from rich.table import Table

    from contracts.usage import GroupBy, UsageFigures, UsageSummary

__all__ = ["FIGURES", "figures_of", "usage"]

FIGURES = ("ATTEMPTS", "HOURS", "CPU h", "CPU h USED", "GPU h", "GPU h USED", "GiB h", "PEAK")
"""The columns of figures."""


def usage(
    ctx: typer.Context,
    by: Annotated[
        str, typer.Option(help="Any of `owner`, `project`, `backend`, `gpu_model`, `day`, with commas between.")
    ] = "owner,project,day",
    since: Annotated[datetime | None, typer.Option(help="From this UTC day or moment on.")] = None,
    until: Annotated[datetime | None, typer.Option(help="Before this UTC day or moment.")] = None,
    owner: Annotated[str | None, typer.Option(help="Only this owner's.")] = None,
    project: Annotated[str | None, typer.Option("--project", "-p", help="Only this project's.")] = None,
    backend: Annotated[str | None, typer.Option(help="Only on this cluster.")] = None,
    as_json: AsJson = False,
) -> None:
    """Sum up what ended attempts held and really used.

    Example: `shunter usage --by project,day --since 2026-11-01`
    """
    from shunter.calls.records import UsageFilter

    groups = _groups(by)
    wanted = UsageFilter(owner=owner, project=project, backend=backend, since=_in_utc(since), until=_in_utc(until))
    with session_of(ctx).client() as client:
        found = client.sum_usage(groups, wanted)
    if as_json:
        emit(found)
        return
    console().print(_usage_table(found, groups))
    if found.open_segments:
        note(f"{found.open_segments} attempts hold room now and are counted when they end.")


def _groups(by: str) -> list[GroupBy]:
    from contracts.usage import GroupBy

    names = [name.strip() for name in by.split(",") if name.strip()]
    unknown = [name for name in names if name not in set(GroupBy)]
    if unknown:
        raise typer.BadParameter(f"{unknown[0]!r} is none of: {', '.join(GroupBy)}", param_hint="--by")
    return [GroupBy(name) for name in names]


def _in_utc(moment: datetime | None) -> datetime | None:
    from datetime import UTC

    return moment.replace(tzinfo=UTC) if moment and moment.tzinfo is None else moment


def _usage_table(found: UsageSummary, groups: list[GroupBy]) -> Table:
    from rich.markup import escape

    rows = table(*(group.value.upper() for group in groups), *FIGURES, right=FIGURES)
    for row in found.rows:
        keys = (getattr(row, group.value) for group in groups)
        rows.add_row(*(escape(str(key)) if key else "-" for key in keys), *figures_of(row.figures))
    if groups:
        rows.add_row("total", *("" for _ in groups[1:]), *figures_of(found.total), style="bold")
    elif not found.rows:
        rows.add_row(*figures_of(found.total))
    return rows


def figures_of(figures: UsageFigures) -> tuple[str, ...]:
    """Say figures in the order of the columns."""
    hours = (
        figures.wall_hours,
        figures.cpu_hours,
        figures.cpu_hours_used,
        figures.gpu_hours,
        figures.gpu_hours_used,
        figures.memory_gib_hours,
    )
    return str(figures.segments), *(f"{value:.6f}" for value in hours), size(figures.memory_peak)
