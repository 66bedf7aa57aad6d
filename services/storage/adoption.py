"""What came by a form is looked at once, copied to an object that nobody can change, and is a file then."""

from __future__ import annotations

import asyncio
import hashlib
import mimetypes
from contextlib import suppress
from datetime import timedelta

import structlog

from contracts.envelope import Context
from contracts.errors import NotFoundError, OverQuotaError, RefusedError, UnavailableError
from contracts.model import now
from contracts.principals import Principal
from contracts.spec import clean_path
from contracts.transfers import FileRefused
from services.chassis.policy import Power
from services.chassis.unit import UnitOfWork

from .form_store import Known, OpenedForm, known_arrivals, note_arrival, note_copy
from .keys import owner_folder, require_own_path
from .objects import Arrival, Objects
from .rights import owner_for
from .rules import Quotas
from .store import OpenedUpload, StoredFile, close_upload, put_file
from .uploads import event_of

__all__ = ["Adoption", "inbox_of"]

_PLAIN = "application/octet-stream"

_COPYING = timedelta(hours=1)
"""How long a copy may take before the sweep thinks that we are gone."""

log = structlog.get_logger(__name__)


def inbox_of(form: OpenedForm) -> str:
    """Return what the keys begin with of all that comes by a form; no owner's part of the bucket is like it."""
    return f"_forms/{form.id}/"


class Adoption:
    """Takes in what came by forms: one look at a time for each, however many ask."""

    def __init__(self, *, unit: UnitOfWork, objects: Objects, quotas: Quotas, patience: float = 3.0) -> None:
        """*patience*: seconds that somebody who looks waits for large files to be checked."""
        self._unit = unit
        self._objects = objects
        self._quotas = quotas
        self._patience = patience
        self._looks: dict[str, asyncio.Task[None]] = {}

    async def of(self, form: OpenedForm, *, patiently: bool = False) -> None:
        """Take in what has come so far; goes on beside us where it takes longer than we wait, unless *patiently*."""
        if (running := self._looks.get(form.id)) is not None:
            # It may have looked before the file came: another look has to follow.
            await asyncio.wait({running}, timeout=None if patiently else self._patience)
        look = self._looks.get(form.id)
        if look is None or look.done():
            look = self._looks[form.id] = asyncio.create_task(self._look(form))
            look.add_done_callback(lambda task: self._forget(form.id, task))
        await asyncio.wait({look}, timeout=None if patiently else self._patience)
        if look.done():
            look.result()

    def _forget(self, form_id: str, task: asyncio.Task[None]) -> None:
        if self._looks.get(form_id) is task:
            del self._looks[form_id]
        if not task.cancelled() and (error := task.exception()):
            log.warning("form.look_failed", form=form_id, error=type(error).__name__)

    async def _look(self, form: OpenedForm) -> None:
        inbox = inbox_of(form)
        arrivals = await self._objects.arrivals(inbox)
        if not arrivals:
            return
        async with self._unit.looking_up() as connection:
            known = await known_arrivals(connection, form.id)
        for arrival in arrivals:
            name = arrival.key.removeprefix(inbox)
            before = known.get(name)
            if before is None or before.tag != arrival.tag:
                await self._take(form, name, arrival, before)

    async def _take(self, form: OpenedForm, name: str, arrival: Arrival, before: Known | None) -> None:
        """Make a file of it, or say why it is none. Its key follows from what it is, whoever makes it."""
        mark = "\n".join((form.id, name, arrival.tag, before.key if before else ""))
        key = f"{owner_folder(form.owner)}/{hashlib.sha256(mark.encode()).hexdigest()[:32]}"
        try:
            path = await self._place(form, name)
            if not await self._begin(form, name, path, arrival.size, key):
                return
        except (RefusedError, ValueError) as error:
            await self._refuse(form, name, arrival, key, str(error))
            return
        try:
            await self._objects.adopt(arrival, key)
            content = await self._objects.measure(key, arrival.size)
        except NotFoundError:
            return  # another one came under its name; the next look finds that
        kind = mimetypes.guess_type(name)[0] or _PLAIN
        file = StoredFile(form.owner, path, key, content.size, content.sha256, kind, None, now())
        with suppress(OverQuotaError):  # a quota that has become smaller meanwhile: the next look refuses it
            await self._keep(form, name, file, Known(arrival.tag, key))

    async def _keep(self, form: OpenedForm, name: str, file: StoredFile, known: Known) -> None:
        async with self._unit.handling(_cause(file.key), _context()) as first:
            if not first:
                return
            connection = first.connection
            # The owner's sum before the note, in every transaction: else two of them wait for each other.
            await self._quotas.require(connection, file.owner, file.path, file.size, upload=file.key, alone=True)
            if not await close_upload(connection, file.key):
                raise UnavailableError("the sweep is taking the copy away; it is made again after that")
            await put_file(connection, file, _cause(file.key))
            await note_arrival(connection, form.id, name, known)
            first.send(event_of(file))

    async def _begin(self, form: OpenedForm, name: str, path: str, size: int, key: str) -> bool:
        """Have the sweep, and the quotas, know of the copy; False if somebody else has just made the file."""
        async with self._unit.begin(_context()) as work:
            await self._quotas.require(work.connection, form.owner, path, size, upload=key, alone=True)
            await note_copy(work.connection, OpenedUpload(key, None, form.owner, path, size), now() + _COPYING)
            # In this order: from the note on, nobody else's end can go unseen, and a note that is left over would
            # have the sweep take the bytes of a file.
            known = (await known_arrivals(work.connection, form.id)).get(name)
            if known is None or known.key != key:
                return True
            await close_upload(work.connection, key)
            return False

    async def _place(self, form: OpenedForm, name: str) -> str:
        """Return where it goes, or refuse it."""
        path = clean_path(f"{form.folder}/{clean_path(name)}" if form.folder else name)
        require_own_path(path)
        if form.guest:
            guest = Principal.model_validate_json(form.guest)
            async with self._unit.reading() as connection:
                await owner_for(connection, guest, form.owner, path, Power.CONTROL)
        return path

    async def _refuse(self, form: OpenedForm, name: str, arrival: Arrival, key: str, why: str) -> None:
        path = f"{form.folder}/{name}".lstrip("/")
        event = FileRefused(owner=form.owner, path=path, key=key, size=arrival.size, message=why, at=now())
        async with self._unit.handling(_cause(key), _context()) as first:
            if first:
                await note_arrival(first.connection, form.id, name, Known(arrival.tag, key))
                first.send(event)
        await self._objects.delete([arrival.key])


def _cause(key: str) -> str:
    return f"form-{key.rpartition('/')[2]}"


def _context() -> Context:
    return Context.start("service:storage")
