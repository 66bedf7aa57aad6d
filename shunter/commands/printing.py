"""Saying things: tables and figures for people on stdout, JSON for scripts, notes on stderr."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from pydantic import BaseModel
    from rich.console import Console
    from rich.table import Table

__all__ = [
    "ago",
    "console",
    "duration",
    "emit",
    "emit_line",
    "note",
    "size",
    "state_text",
    "table",
    "to_plain",
    "usual_time",
]

_COLOURS = {
    "succeeded": "green",
    "failed": "red",
    "lost": "red",
    "canceled": "yellow",
    "running": "cyan",
    "held": "magenta",
}


_WIDE = 1000
"""Columns: a checksum is worth more whole on two lines than cut short on one."""


def console(*, stderr: bool = False, fitting: bool = False) -> Console:
    """Return where tables and bars go, made anew, because a test swaps the streams; bars must be *fitting*."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, soft_wrap=not fitting, width=None if fitting else _WIDE)


def table(*columns: str, right: Sequence[str] = ()) -> Table:
    """Return an empty table without frames, which copies well; columns in *right* hold figures."""
    from rich.table import Table

    found = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        found.add_column(column, no_wrap=True, justify="right" if column in right else "left")
    return found


def note(text: str) -> None:
    """Say something that is no result."""
    typer.echo(text, err=True)


def to_plain(found: BaseModel | Iterable[BaseModel] | Any) -> Any:
    """Return what JSON can hold."""
    if hasattr(found, "model_dump"):
        return found.model_dump(mode="json")
    return {"items": [to_plain(item) for item in found]} if isinstance(found, list | tuple) else found


def emit(found: Any) -> None:
    """Print one JSON document."""
    typer.echo(json.dumps(to_plain(found), indent=2, ensure_ascii=False))


def emit_line(found: Any) -> None:
    """Print one JSON document of several, on a line of its own."""
    typer.echo(json.dumps(to_plain(found), ensure_ascii=False))


def state_text(state: str) -> str:
    """Colour a state."""
    colour = _COLOURS.get(state)
    return f"[{colour}]{state}[/{colour}]" if colour else state


def size(count: float | None) -> str:
    """Say a number of bytes."""
    if count is None:
        return "-"
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def duration(seconds: float | None) -> str:
    """Say a length of time in at most two units."""
    if seconds is None:
        return "-"
    if seconds < 60:
        return f"{seconds:.1f}s" if seconds < 10 else f"{seconds:.0f}s"
    minutes, hours, days = int(seconds // 60), int(seconds // 3600), int(seconds // 86400)
    if days:
        return f"{days}d{hours % 24}h"
    return f"{hours}h{minutes % 60:02}m" if hours else f"{minutes}m{int(seconds % 60):02}s"


def ago(moment: datetime) -> str:
    """Say how long ago something was."""
    return duration(max(0.0, (datetime.now(UTC) - moment).total_seconds()))


def usual_time(moment: datetime | None) -> str:
    """Say a moment in the user's own time."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S") if moment else "-"
