"""How mail travels: each try is written down before it is made, so that two workers never send the same mail."""

from __future__ import annotations

from typing import ClassVar

from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.mail_events import MailSent
from contracts.model import now
from services.chassis.unit import Work
from services.scheduler.records import Record
from services.scheduler.webhooks.carrying import Bound, Carrier, Dropped, Outcome

from . import refusals
from .mailjet import MailjetSender
from .sending import MailSender
from .settings import Mail
from .smtp import SmtpSender

__all__ = ["MAILTO", "MailCarrier", "make_sender"]

MAILTO = "mailto:"


class MailCarrier(Carrier):
    """Hands mail to the site's sender, unless it is not wanted."""

    lease: ClassVar[float | None] = 10.0

    def __init__(self, *, sender: MailSender | None, settings: Mail) -> None:
        self._sender = sender
        self.patience, self.limit, self.at_once = settings, settings.timeout, settings.at_once

    async def bind(self, connection: AsyncConnection, row: Record) -> Bound | Dropped | None:
        """Return where it goes; whether it is wanted is asked now, right before it goes."""
        address = row["url"].removeprefix(MAILTO)
        if await refusals.since(connection, [refusals.of_user(row["owner"]), refusals.of_address(address)]):
            return Dropped("mail is not wanted there")
        sender = self._sender

        async def send() -> Outcome:
            if sender is None or not row["body"]:
                return Outcome(good=False, error="this site sends no mail any more")
            return await sender.send(row["body"], recipient=address, delivery=row["id"])

        return Bound(sender.host if sender else "", row["url"], send)

    async def note_delivered(self, work: Work, row: Record) -> None:
        """Say that it went out, so that a table that is built again does not send it again."""
        known = {name: row[name] for name in ("owner", "project", "workload_id", "key")}
        about = {name: row[name] for name in ("event_id", "event_type", "url")}
        work.send(MailSent(delivery_id=row["id"], **known, **about, at=now()))

    async def note_dead(self, work: Work, row: Record, outcome: Outcome) -> None:
        """Nothing more is to be written."""


def make_sender(settings: Mail) -> MailSender | None:
    """Return what the settings say, none if this site sends no mail."""
    if settings.sender is None:
        return None
    if settings.smtp is not None:
        return SmtpSender(settings.smtp, sender=settings.sender, timeout=settings.timeout)
    return MailjetSender(settings.mailjet, timeout=settings.timeout) if settings.mailjet else None
