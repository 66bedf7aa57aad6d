"""Brings the pilot to the site's object store, from which nodes fetch it."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import timedelta
from pathlib import Path
from time import monotonic

import httpx
import structlog
from pydantic import ValidationError

from contracts.commands import CompleteUpload
from contracts.envelope import Context
from contracts.errors import UnavailableError
from contracts.files import FileRecord, PartDone
from contracts.ids import message_id
from contracts.queries import DownloadRunInputs, OpenRunUpload
from contracts.runs import FrozenInput, RunTicket
from services.chassis.bus import Bus
from services.chassis.tickets import Tickets

from .archive import Archive

__all__ = ["Delivery"]

_OWNER = "shunter"
"""Whose file it is."""
_TARGET = "pilot.pyz"
_RENEWED = timedelta(hours=1).total_seconds()
"""An address that was made less long ago is given out again: it is for all native jobs the same."""
_COMPLETION = 30.0

log = structlog.get_logger(__name__)


class Delivery:
    """Uploads the pilot once, as if it were the output of a job, and says where it is."""

    def __init__(self, *, bus: Bus, tickets: Tickets[RunTicket], folder: Path, lives: float) -> None:
        self._bus = bus
        self._tickets = tickets
        self._folder = folder
        self._lives = lives
        self._url = ""
        self._made = 0.0
        self._making = asyncio.Lock()

    async def url(self, archive: Archive) -> str:
        """Return where nodes fetch the pilot."""
        async with self._making:
            if not self._url or monotonic() - self._made > min(_RENEWED, self._lives / 2):
                self._url, self._made = await self._make(archive), monotonic()
            return self._url

    async def _make(self, archive: Archive) -> str:
        kept = self._folder / f"{archive.path.stem}.json"
        ticket = self._ticket(archive)
        try:
            record = FileRecord.model_validate_json(kept.read_bytes())
        except (OSError, ValidationError):
            record = None
        if record is not None:
            url = await self._address(ticket, record)
            if await _is_there(url, archive):
                return url
        record = await self._bring(ticket, archive)
        kept.write_text(record.model_dump_json())
        log.info("pilot.brought", sha256=archive.sha256, size=archive.size)
        return await self._address(ticket, record)

    def _ticket(self, archive: Archive) -> str:
        # No job has this name: it is made from the file.
        made = hashlib.sha256(f"pilot {archive.sha256}".encode()).hexdigest()[:32]
        return self._tickets.issue(RunTicket(owner=_OWNER, workload_id=f"plt-{made}", attempt=1))

    async def _address(self, ticket: str, record: FileRecord) -> str:
        source = FrozenInput(source=record.path, target=_TARGET, key=record.key, size=record.size, sha256=record.sha256)
        query = DownloadRunInputs(ticket=ticket, inputs=[source], expires=self._lives)
        urls: dict[str, str] = (await self._bus.ask(query)).urls
        return urls[_TARGET]

    async def _bring(self, ticket: str, archive: Archive) -> FileRecord:
        query = OpenRunUpload(
            ticket=ticket, path=f"outputs/{message_id()}.pyz", size=archive.size, sha256=archive.sha256
        )
        plan = await self._bus.ask(query)
        content = await asyncio.to_thread(archive.path.read_bytes)
        done = []
        try:
            async with httpx.AsyncClient(timeout=30, trust_env=False) as http:
                for part in plan.parts:
                    response = await http.put(part.url, content=content[part.offset : part.offset + part.size])
                    response.raise_for_status()
                    done.append(PartDone(number=part.number, etag=response.headers.get("ETag", "").strip('"')))
        except httpx.HTTPError as error:
            raise UnavailableError(f"the pilot cannot be brought to the store: {error!r}") from error
        command = CompleteUpload(ticket=plan.ticket, parts=done)
        context = Context.start("service:scheduler")
        record: FileRecord | None = await self._bus.order(command, context, wait=_COMPLETION, answer=FileRecord)
        if record is None:
            raise UnavailableError("storage does not say whether it has the pilot")
        return record


async def _is_there(url: str, archive: Archive) -> bool:
    """Say whether the store still has what was brought."""
    try:
        async with httpx.AsyncClient(timeout=30, trust_env=False) as http:
            response = await http.get(url)
    except httpx.HTTPError as error:
        raise UnavailableError(f"the store does not answer: {error!r}") from error
    return response.status_code == 200 and hashlib.sha256(response.content).hexdigest() == archive.sha256
