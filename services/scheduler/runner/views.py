"""Shows a program its working folder under the path that it was written for, where it may run in a box of its own."""

from __future__ import annotations

import asyncio
from typing import Literal

import structlog

from services.scheduler.pilot import views
from services.scheduler.pilot.folder import RunFolder
from services.scheduler.pilot.views import PATIENCE, View

__all__ = ["Showing", "Views"]

Showing = Literal["auto", "mount", "replace"]
"""How a program is shown its working folder: where `auto` finds that no mount is allowed here, words are replaced."""

log = structlog.get_logger(__name__)


class Views(views.Views):
    """Knows what this node allows."""

    def __init__(self, showing: Showing) -> None:
        super().__init__(showing)

    async def of(self, place: str | None, folder: RunFolder, *, boxed: bool | None = None) -> View | None:
        """Return how the program of a run is shown its folder; none if it takes it as it is.

        *boxed* says, of what runs in a box of its own, whether that shows the folder: no mount is made inside.
        """
        if place is None or boxed is None:
            return await super().of(place, folder)
        return View(place, folder, mounts=boxed and self._showing != "replace")

    async def _works(self, words: list[str]) -> bool:
        why = await _fails(words)
        log.info("runner.files", mounts=not why, why=why)
        return not why


async def _fails(words: list[str]) -> str:
    """Return why a command fails; nothing if it does not."""
    try:
        process = await asyncio.create_subprocess_exec(
            *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
    except OSError as error:
        return str(error)
    try:
        async with asyncio.timeout(PATIENCE):
            _, said = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return "it took too long"
    return (
        (said.decode(errors="replace").strip() or f"it ended with {process.returncode}") if process.returncode else ""
    )
