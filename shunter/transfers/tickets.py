"""Tickets of uploads that are under way, kept in the user's cache so that a broken one is taken up again."""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress
from pathlib import Path

__all__ = ["TicketCache", "default_cache"]

_KEPT = 7 * 86400.0
"""Seconds; a store forgets unfinished uploads about as soon."""


def default_cache() -> Path:
    """Return Shunter's folder in the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "shunter"


class TicketCache:
    """One small file per upload; its name says which bytes go where, so that changed bytes begin anew."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "uploads"

    def find(self, server: str, remote: str, sha256: str) -> str | None:
        """Return the ticket of an upload of these bytes to this place."""
        try:
            return self._place(server, remote, sha256).read_text() or None
        except OSError:
            return None

    def keep(self, server: str, remote: str, sha256: str, ticket: str) -> None:
        """Keep a ticket, readable by the user only; where nothing can be kept, an upload just cannot be resumed."""
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            place = self._place(server, remote, sha256)
            place.touch(mode=0o600)
            place.write_text(ticket)
            self._sweep()

    def forget(self, server: str, remote: str, sha256: str) -> None:
        """Drop a ticket that is used up."""
        with suppress(OSError):
            self._place(server, remote, sha256).unlink()

    def _place(self, server: str, remote: str, sha256: str) -> Path:
        name = hashlib.sha256(f"{server}\n{remote}\n{sha256}".encode()).hexdigest()
        return self._folder / f"{name}.ticket"

    def _sweep(self) -> None:
        oldest = time.time() - _KEPT
        for file in self._folder.glob("*.ticket"):
            if file.stat().st_mtime < oldest:
                file.unlink()
