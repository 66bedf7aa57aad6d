"""Folds what was told of mail into rows: who wants none, and what went out."""

from __future__ import annotations

from contracts.mail_events import MailRefused, MailSent, MailWished
from contracts.subscriptions import DeliveryState
from services.chassis.unit import Work, upsert_for
from services.scheduler.mail import refusals
from services.scheduler.mail.matching import CHANNEL
from services.scheduler.tables import deliveries
from services.scheduler.webhooks.formats import Body
from services.scheduler.webhooks.records import new_delivery

__all__ = ["note_sent", "refuse", "wish"]


async def wish(work: Work, event: MailWished) -> None:
    """Write down whether somebody wants mail."""
    user = refusals.of_user(event.owner)
    if event.opted_out:
        await refusals.refuse(work.connection, user, event.at)
    else:
        names = [user, *([refusals.of_address(event.address)] if event.address else [])]
        await refusals.allow(work.connection, names)


async def refuse(work: Work, event: MailRefused) -> None:
    """Write down that an address wants no mail."""
    await refusals.refuse(work.connection, refusals.of_address(event.address), event.at)


async def note_sent(work: Work, event: MailSent) -> None:
    """Write down that a mail went out: whoever finds its event again does not send it once more."""
    row = new_delivery(
        target=event.workload_id,
        line=event.workload_id,
        owner=event.owner,
        project=event.project,
        subscription_id=None,
        about=event.workload_id,
        event_id=event.event_id,
        event_type=event.event_type,
        url=event.url,
        body=Body("message/rfc822", b"", event.key),
        channel=CHANNEL,
    )
    sent = {"id": event.delivery_id, "state": DeliveryState.DELIVERED.value, "body": None, "attempts": 1}
    row |= {**sent, "created_at": event.at, "updated_at": event.at}
    await work.connection.execute(upsert_for(work.connection)(deliveries).values(row).on_conflict_do_nothing())
