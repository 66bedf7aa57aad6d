"""What `submit --dry-run` shows: where a job would go, and why not elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from .outcomes import ExitCode
from .printing import console, duration, emit_line, size, table

if TYPE_CHECKING:
    from contracts.placements import Candidate, PlacementView
    from contracts.spec import JobSpec
    from shunter.client import Client

__all__ = ["show_places"]


def show_places(client: Client, specs: list[JobSpec], *, as_json: bool) -> ExitCode:
    """Ask where jobs would go, and say it; a job that no backend can hold is refused by a submit too."""
    from contracts.placements import Start
    from contracts.secrets import without_secrets

    worst = ExitCode.OK
    for spec in specs:
        found = client.clusters.place(spec)
        shown = without_secrets(spec).model_dump(mode="json", exclude_unset=True)
        if as_json:
            emit_line({"spec": shown, "placement": found.model_dump(mode="json")})
        else:
            emit_line(shown)
            _print(found)
        worst = max(worst, ExitCode.USAGE if found.start is Start.NEVER else ExitCode.OK)
    return worst


def _print(found: PlacementView) -> None:
    from rich.markup import escape

    typer.echo(f"{found.start.value}: {found.why}")
    if found.patience is not None:
        typer.echo(f"If it is not begun within {duration(found.patience)}, it is taken back and goes elsewhere.")
    rows = table("BACKEND", "FITS", "READY", "COST", "TO MOVE", "WHY", right=("COST", "TO MOVE"))
    for one in found.candidates:
        cost = "-" if one.cost is None else f"{one.cost:.4g}"
        moved = "-" if one.bytes_to_move is None else size(one.bytes_to_move)
        rows.add_row(escape(one.backend), _word(one.fits), _word(one.ready), cost, moved, escape(_why(one)))
    console().print(rows)


def _why(one: Candidate) -> str:
    return f"{one.field}: {one.reason}" if one.field else one.reason


def _word(value: bool) -> str:
    return "yes" if value else "no"
