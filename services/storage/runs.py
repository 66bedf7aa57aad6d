"""Runners: they show the ticket of their attempt, and reach what is its owner's through it."""

from __future__ import annotations

import mimetypes
from datetime import timedelta

from contracts.errors import NotFoundError
from contracts.files import UploadPlan
from contracts.queries import CheckRunRoom, DownloadRunInputs, OpenRunUpload, RunDownloads
from contracts.runs import RunTicket
from contracts.shelves import FolderRoom
from services.chassis.tickets import Tickets

from .keys import is_key_of, new_key, run_path
from .objects import Objects
from .plans import part_size_for
from .uploads import UploadService, UploadTicket

__all__ = ["RUN_TICKET_AGE", "RunService"]

RUN_TICKET_AGE = timedelta(days=400).total_seconds()
"""The longest walltime is a year, and an attempt may wait before it starts."""

_SPAN = timedelta(hours=1)
"""How long a runner's URLs are good; it asks for new ones when they are not."""

_PLAIN = "application/octet-stream"
_LOGS = "logs/"


class RunService:
    """Gives a runner URLs for the inputs, outputs and logs of its attempt."""

    def __init__(
        self, *, objects: Objects, uploads: UploadService, tickets: Tickets[RunTicket], part_size: int
    ) -> None:
        self._objects = objects
        self._uploads = uploads
        self._tickets = tickets
        self._part_size = part_size

    async def downloads(self, query: DownloadRunInputs) -> RunDownloads:
        """Return a URL for each frozen input."""
        ticket = self._tickets.read(query.ticket, RUN_TICKET_AGE)
        for item in query.inputs:
            if not is_key_of(ticket.owner, item.key):
                raise NotFoundError(f"the input {item.target} does not exist")
        span = timedelta(seconds=query.expires)
        urls = await self._objects.presign_gets([item.key for item in query.inputs], span)
        return RunDownloads(urls=dict(zip((item.target for item in query.inputs), urls, strict=True)))

    async def check(self, query: CheckRunRoom) -> FolderRoom:
        """Say what an output can come to."""
        run = self._tickets.read(query.ticket, RUN_TICKET_AGE)
        return await self._uploads.room(run.owner, run_path(run, query.path, query.to), query.size)

    async def open_upload(self, query: OpenRunUpload) -> UploadPlan:
        """Plan the upload of an output or a log."""
        run = self._tickets.read(query.ticket, RUN_TICKET_AGE)
        part_size = part_size_for(query.size, self._part_size)
        ticket = UploadTicket(
            owner=run.owner,
            path=run_path(run, query.path, query.to),
            key=new_key(run.owner),
            size=query.size,
            sha256=query.sha256,
            content_type=_content_type(query.path),
            part_size=part_size,
            workload_id=run.workload_id,
        )
        # The runner is ours: what is small comes in one PUT, which saves two calls of the store for every short job.
        # Logs count and are never refused: they may be all that says why a job failed.
        bounded = not query.path.startswith(_LOGS)
        return await self._uploads.begin(ticket, _SPAN, in_parts=query.size > part_size, bounded=bounded)


def _content_type(path: str) -> str:
    return "text/plain" if path.startswith(_LOGS) else mimetypes.guess_type(path)[0] or _PLAIN
