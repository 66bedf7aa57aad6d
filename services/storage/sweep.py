"""The sweep: removes bytes that no file names any more, uploads that nobody completed, and files that grew too old."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from contracts.envelope import Context
from contracts.errors import UnavailableError
from contracts.model import now
from services.chassis.errors import translated
from services.chassis.unit import UnitOfWork

from .expiry import expire_files
from .forms import FormService
from .objects import Objects
from .store import OpenedUpload, doom_upload, due_uploads, forget_upload
from .stored import Reason
from .superseded import doom_superseded, due_superseded, forget_superseded

__all__ = ["Sweeper", "Swept"]

_BATCH = 1000
"""What S3 deletes in one call."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep removed."""

    objects: int
    uploads: int
    expired: int = 0
    """Files that went to the trash."""


class Sweeper:
    """Sweeps now and then; several replicas may sweep at once."""

    def __init__(
        self,
        *,
        unit: UnitOfWork,
        objects: Objects,
        kept: Mapping[Reason, timedelta],
        abandoned_after: timedelta,
        expire: Mapping[str, timedelta] | None = None,
        forms: FormService | None = None,
    ) -> None:
        self._unit = unit
        self._expire = expire or {}
        self._objects = objects
        self._kept = kept
        self._abandoned_after = abandoned_after
        self._forms = forms

    @asynccontextmanager
    async def running(self, every: timedelta) -> AsyncIterator[None]:
        """Sweep while the block runs, and stop at its end."""
        task = asyncio.create_task(self._sweep_often(every.total_seconds()))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def sweep(self) -> Swept:
        """Remove all that is due."""
        with translated("the database"):
            await self._objects.tidy(self._abandoned_after)
            if self._forms:
                await self._forms.sweep()
            return Swept(
                expired=await expire_files(self._unit, self._expire),
                objects=await self._sweep_objects(),
                uploads=await self._sweep_uploads(),
            )

    async def _sweep_objects(self) -> int:
        swept = 0
        while True:
            before = {reason: now() - span for reason, span in self._kept.items()}
            async with self._unit.reading() as connection:
                uploads = await due_superseded(connection, before, _BATCH)
            if not uploads:
                return swept
            async with self._unit.begin(_context()) as work:
                # From now on nothing brings them back, and no new file shares their objects.
                keys = await doom_superseded(work.connection, uploads)
            if keys:
                await self._objects.delete(keys)
            async with self._unit.begin(_context()) as work:
                await forget_superseded(work.connection, uploads)
            swept += len(uploads)

    async def _sweep_uploads(self) -> int:
        swept = 0
        while True:
            before = now() - self._abandoned_after
            async with self._unit.reading() as connection:
                uploads = await due_uploads(connection, before, _BATCH)
            if not uploads:
                return swept
            for upload in uploads:
                swept += await self._drop(upload, before)

    async def _drop(self, upload: OpenedUpload, before: datetime) -> bool:
        async with self._unit.begin(_context()) as work:
            # From now on no completion can make a file of it; what the store does not delete now is tried again.
            if not await doom_upload(work.connection, upload.key, before):
                return False
        if upload.upload_id is not None:
            await self._objects.abort(upload.key, upload.upload_id)
        await self._objects.delete([upload.key])
        async with self._unit.begin(_context()) as work:
            await forget_upload(work.connection, upload.key)
        return True

    async def _sweep_often(self, every: float) -> None:
        while True:
            try:
                swept = await self.sweep()
                if swept != Swept(0, 0):
                    log.info("sweep.done", objects=swept.objects, uploads=swept.uploads, expired=swept.expired)
            except UnavailableError as error:
                log.warning("sweep.postponed", detail=error.detail)
            except Exception:
                log.exception("sweep.failed")
            await asyncio.sleep(every)


def _context() -> Context:
    return Context.start("service:storage")
