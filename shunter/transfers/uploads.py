"""Bringing local files: checksummed first, in parallel parts, taken up again after a break."""

from __future__ import annotations

import mimetypes
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts.errors import RefusedError, UnavailableError
from contracts.files import FileRecord, Part, PartDone, UploadPlan
from shunter.calls import files as calls
from shunter.calls.call import Call

from .checksums import sha256_of
from .metering import Meter, Progress
from .store import ExpiredError, Store
from .tickets import TicketCache

__all__ = ["Uploads"]

_ROUNDS = 10
"""How often new URLs are asked for before we give up."""

Send = Callable[[Call[Any]], Any]


@dataclass(frozen=True, slots=True)
class _Source:
    """A local file as it was when we looked."""

    path: Path
    remote: str
    size: int
    sha256: str
    owner: str | None = None

    @property
    def place(self) -> str:
        """Return what tells apart where the bytes go."""
        return self.remote if self.owner is None else f"//{self.owner}/{self.remote}"


class Uploads:
    """Brings files to one server."""

    def __init__(self, *, server: str, send: Send, store: Store, tickets: TicketCache, parallel: int = 4) -> None:
        self._server = server
        self._send = send
        self._store = store
        self._tickets = tickets
        self._parallel = parallel

    def upload(
        self,
        local: Path,
        remote: str,
        *,
        owner: str | None = None,
        content_type: str | None = None,
        progress: Progress | None = None,
        stop: threading.Event | None = None,
    ) -> FileRecord:
        """Bring one file. The same bytes to the same place go on where an earlier try broke off."""
        source = _Source(local, remote, local.stat().st_size, sha256_of(local), owner)
        plan = self._resume(source) or self._open(source, content_type)
        meter = Meter(source.size, progress, stop)
        done = self._bring(source, plan, meter)
        record: FileRecord = self._send(calls.complete_upload(plan.ticket, done))
        self._tickets.forget(self._server, source.place, source.sha256)
        return record

    def _resume(self, source: _Source) -> UploadPlan | None:
        ticket = self._tickets.find(self._server, source.place, source.sha256)
        if ticket is None:
            return None
        try:
            plan: UploadPlan = self._send(calls.resume_upload(ticket))
        except RefusedError:  # too old, or finished by somebody else: begin anew
            self._tickets.forget(self._server, source.place, source.sha256)
            return None
        return plan

    def _open(self, source: _Source, content_type: str | None) -> UploadPlan:
        kind = content_type or mimetypes.guess_type(source.path.name)[0] or "application/octet-stream"
        plan: UploadPlan = self._send(
            calls.open_upload(
                source.remote, size=source.size, sha256=source.sha256, content_type=kind, owner=source.owner
            )
        )
        self._tickets.keep(self._server, source.place, source.sha256, plan.ticket)
        return plan

    def _bring(self, source: _Source, plan: UploadPlan, meter: Meter) -> list[PartDone]:
        """Bring all parts; asks for new URLs while the store says that the old ones are too old."""
        done = {part.number: part for part in plan.done}
        meter.add(source.size - sum(part.size for part in plan.parts))
        missing = plan.parts
        for _ in range(_ROUNDS):
            brought = self._bring_parts(source.path, missing, meter)
            done.update({part.number: part for part in brought})
            if len(brought) == len(missing):
                return [done[number] for number in sorted(done)]
            plan = self._send(calls.resume_upload(plan.ticket))
            done.update({part.number: part for part in plan.done})
            missing = [part for part in plan.parts if part.number not in done]
        raise UnavailableError("the store refuses its own URLs again and again; is its clock right?")

    def _bring_parts(self, path: Path, parts: list[Part], meter: Meter) -> list[PartDone]:
        """Bring parts side by side; those whose URLs the store does not honour any more are left out."""

        def bring(part: Part) -> PartDone | None:
            try:
                return self._store.put(part, path, meter)
            except ExpiredError:
                return None

        with ThreadPoolExecutor(self._parallel, "shunter-upload") as pool:
            try:
                return [done for done in pool.map(bring, parts) if done is not None]
            except BaseException:
                # The other threads must end before we do, an interrupt from the keyboard included.
                meter.stop()
                pool.shutdown(wait=True, cancel_futures=True)
                raise
