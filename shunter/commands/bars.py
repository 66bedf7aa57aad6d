"""Progress of transfers: a bar at a terminal, a line per file elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .printing import console

if TYPE_CHECKING:
    from shunter.transfers.metering import Progress

__all__ = ["Bars", "transfer_bars"]

Bars = Callable[[str], "Progress | None"]
"""Given the name of a file, returns what counts its bytes."""


@contextmanager
def transfer_bars() -> Iterator[Bars]:
    """Show bars on stderr while transfers run, if somebody looks."""
    if not sys.stderr.isatty():
        yield lambda _name: None
        return
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as RichProgress

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with RichProgress(*columns, console=console(stderr=True, fitting=True)) as progress:

        def begin(name: str) -> Progress:
            task = progress.add_task(name, total=None)
            return lambda done, total: progress.update(task, completed=done, total=total or None)

        yield begin
