"""Databases that are at the present schema when a test begins: copies of one that was migrated once."""

from __future__ import annotations

import asyncio
import atexit
import os
import shutil
import tempfile
from pathlib import Path

from services.chassis.migrations import ensure_schema, newest_revision

from .stores import stores

__all__ = ["bring_empty", "bring_schema", "database_url", "url_in"]


def database_url(folder: Path, service: str) -> str:
    """Return where a service of a folder has its tables; empty for its own choice, a file there."""
    found = stores()
    return found.database_url(folder, service) if found else ""


def url_in(folder: Path) -> str:
    """Return where a test has tables of its own."""
    return database_url(folder, "chassis") or f"sqlite+aiosqlite:///{folder / 'x.db'}"


async def bring_empty(url: str) -> None:
    """Make the database of a URL, without tables; a file makes itself."""
    if (found := stores()) and not url.startswith("sqlite"):
        await found.bring_empty(url)


async def bring_schema(service: str, url: str) -> None:
    """Bring an empty database to the present schema: migrating takes a second, a copy none."""
    if (found := stores()) and not url.startswith("sqlite"):
        await found.bring_schema(service, url)
        return
    template = Path(tempfile.gettempdir()) / f"shunter-{service}-{newest_revision(service)}-{os.getpid()}.db"
    if not await asyncio.to_thread(template.exists):
        await ensure_schema(service, f"sqlite+aiosqlite:///{template}")
        atexit.register(template.unlink, missing_ok=True)
    await asyncio.to_thread(_copy_once, template, Path(url.partition("///")[2]))


def _copy_once(template: Path, target: Path) -> None:
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(template, target)
