"""Remembers how backends were reached: one that is configured away while it has work is still needed for that."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import structlog
from pydantic import SecretStr, ValidationError

from services.chassis.unit import UnitOfWork
from services.scheduler.settings import BackendSettings
from services.scheduler.store import count_by_backend

__all__ = ["Memory"]

log = structlog.get_logger(__name__)


class Memory:
    """A file beside the database that only its user reads: it may hold the secrets that the file of settings holds."""

    def __init__(self, path: Path, unit: UnitOfWork) -> None:
        self._path = path
        self._unit = unit

    async def left_behind(self, names: Collection[str]) -> list[BackendSettings]:
        """Return the settings of backends that have work and are not among those with these *names*."""
        async with self._unit.reading() as connection:
            busy = {backend for backend, _ in await count_by_backend(connection)}
        missing = busy - set(names)
        if not missing:
            return []
        known = await asyncio.to_thread(self._read)
        for name in sorted(missing - known.keys()):
            log.error("backend.unknown", backend=name, remedy="configure it again until its work has ended")
        return [known[name] for name in sorted(missing & known.keys())]

    async def keep(self, settings: Mapping[str, BackendSettings]) -> None:
        """Write down those that are configured, beside those that were and have work."""
        async with self._unit.reading() as connection:
            busy = {backend for backend, _ in await count_by_backend(connection)}
        await asyncio.to_thread(self._write, settings, busy)

    def _write(self, settings: Mapping[str, BackendSettings], busy: Collection[str]) -> None:
        kept = {name: found for name, found in self._read().items() if name in busy} | dict(settings)
        text = json.dumps({name: found.model_dump(mode="python") for name, found in kept.items()}, default=_plain)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        draft = self._path.with_suffix(".new")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
        draft.replace(self._path)

    def _read(self) -> dict[str, BackendSettings]:
        try:
            found: dict[str, Any] = json.loads(self._path.read_text())
        except (FileNotFoundError, ValueError):
            return {}
        known: dict[str, BackendSettings] = {}
        for name, value in found.items():
            try:
                known[name] = BackendSettings.model_validate(value)
            except ValidationError as error:  # of a kind that is not installed any more
                log.warning("backend.forgotten", backend=name, detail=str(error))
        return known


def _plain(value: object) -> Any:
    """Say what JSON has no word for."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    total = getattr(value, "total_seconds", None)
    return total() if callable(total) else str(value)
