"""Forms: what browsers POST to the store becomes files as soon as anybody looks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import structlog

from contracts.envelope import Context
from contracts.errors import UnavailableError
from contracts.ids import message_id
from contracts.model import now
from contracts.transfers import FormUpload, OpenForm
from services.chassis.policy import Power
from services.chassis.unit import UnitOfWork

from .adoption import Adoption, inbox_of
from .form_store import OpenedForm, add_form, forget_form, forms_of, forms_under_way
from .keys import require_own_path
from .objects import Objects
from .rights import owner_for
from .rules import Quotas

__all__ = ["FormService"]

_GRACE = timedelta(hours=1)
"""A POST that began in time may still be under way."""

_DELETED = 1000
"""Objects that are deleted in one call."""

log = structlog.get_logger(__name__)


class FormService:
    """Opens forms, and takes in what came by them."""

    def __init__(self, *, unit: UnitOfWork, objects: Objects, adoption: Adoption, quotas: Quotas | None = None) -> None:
        """Without *quotas* anything may come, and what there is no room for goes when it has."""
        self._quotas = quotas or Quotas(None)
        self._unit = unit
        self._objects = objects
        self._adoption = adoption

    async def open(self, query: OpenForm) -> FormUpload:
        """Return a form for a folder."""
        require_own_path(query.folder)
        async with self._unit.reading() as connection:
            owner = await owner_for(connection, query.principal, query.owner, f"{query.folder}/", Power.CONTROL)
            # The store refuses what can never be kept.
            largest = await self._quotas.largest(connection, owner, f"{query.folder}/any" if query.folder else "any", 0)
        most = query.most if largest is None else min(query.most, largest)
        span = timedelta(seconds=query.expires)
        guest = None if owner == query.principal.subject else query.principal.model_dump_json()
        form = OpenedForm(message_id(), owner, query.folder, guest, now() + span)
        async with self._unit.begin(Context.start("service:storage")) as work:
            await add_form(work.connection, form)
        made = await self._objects.form(inbox_of(form), max(span, timedelta(seconds=1)), most)
        return FormUpload(
            url=made.url,
            fields=dict(made.fields),
            folder=form.folder,
            most=most,
            expires_at=form.expires_at,
        )

    async def look(self, owner: str, places: Sequence[str] = ("",)) -> None:
        """Take in what came for an owner, so that whoever looks now sees it: at files and folders of these *places*."""
        async with self._unit.looking_up() as connection:
            forms = await forms_of(connection, owner)
        for form in forms:
            if not any(_may_bring(form, place) for place in places):
                continue
            try:
                await self._adoption.of(form)
            except Exception as error:  # noqa: BLE001 (whoever looks for other files must not be refused for these)
                log.warning("form.postponed", form=form.id, error=type(error).__name__)

    async def sweep(self) -> int:
        """Take in what came, and end the forms that are over; returns how many those were."""
        async with self._unit.reading() as connection:
            forms = await forms_under_way(connection)
        return sum([await self._sweep(form) for form in forms])

    async def _sweep(self, form: OpenedForm) -> bool:
        over = form.expires_at + _GRACE <= now()
        try:
            await self._adoption.of(form, patiently=True)
            if over:
                await self._end(form)
        except UnavailableError as error:
            log.warning("form.postponed", form=form.id, detail=error.detail)
            return False
        except Exception:  # one that nobody can deal with must not keep the sweep from all else
            log.exception("form.failed", form=form.id)
            return False
        return over

    async def _end(self, form: OpenedForm) -> None:
        keys = [arrival.key for arrival in await self._objects.arrivals(inbox_of(form))]
        for start in range(0, len(keys), _DELETED):
            await self._objects.delete(keys[start : start + _DELETED])
        async with self._unit.begin(Context.start("service:storage")) as work:
            await forget_form(work.connection, form.id)


def _may_bring(form: OpenedForm, place: str) -> bool:
    """Say whether what comes by a form may be of a place: below it, or above."""
    return form.folder.startswith(place) or place.startswith(form.folder)
