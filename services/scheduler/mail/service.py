"""What users ask about mail: whether they get it, and that they want it no more."""

from __future__ import annotations

from contracts.mail import MailRefusal, MailStanding
from contracts.mail_commands import RefuseMail, WishMail
from contracts.mail_events import MailRefused, MailWished
from contracts.mail_queries import GetMailStanding, ReadMailTicket
from contracts.model import now
from contracts.principals import Principal
from services.chassis.bus import Delivery as Arrived
from services.chassis.unit import UnitOfWork, Work

from . import refusals
from .tickets import MailLinks

__all__ = ["MailService"]


class MailService:
    """Keeps who wants no mail."""

    def __init__(self, *, unit: UnitOfWork, links: MailLinks, sends: bool) -> None:
        self._unit = unit
        self._links = links
        self._sends = sends

    async def get(self, query: GetMailStanding) -> MailStanding:
        """Tell somebody how it stands with their mail."""
        return await self._standing(query.principal)

    async def read(self, query: ReadMailTicket) -> MailRefusal:
        """Tell which address a link is about."""
        address = self._links.read(query.ticket)
        async with self._unit.looking_up() as connection:
            refused = await refusals.since(connection, [refusals.of_address(address)])
        return MailRefusal(address=address, refused=refused is not None)

    async def wish(self, command: WishMail, arrived: Arrived) -> MailStanding:
        """Write down whether somebody wants mail about jobs of theirs."""
        async with self._unit.handling(arrived.message_id, arrived.context) as work:
            if work is not None:
                await _wish(work, command.principal, opted_out=command.opted_out)
        return await self._standing(command.principal)

    async def refuse(self, command: RefuseMail, arrived: Arrived) -> MailRefusal:
        """Write down that an address wants no mail."""
        address = self._links.read(command.ticket)
        async with self._unit.handling(arrived.message_id, arrived.context) as work:
            at = now()
            if work is not None and await refusals.refuse(work.connection, refusals.of_address(address), at):
                work.send(MailRefused(address=address, at=at))
        return MailRefusal(address=address, refused=True)

    async def _standing(self, principal: Principal) -> MailStanding:
        async with self._unit.looking_up() as connection:
            since = await refusals.since(connection, _names(principal.subject, principal.email))
        return MailStanding(sends=self._sends, address=principal.email, opted_out=since is not None, changed_at=since)


async def _wish(work: Work, principal: Principal, *, opted_out: bool) -> None:
    subject, at = principal.subject, now()
    if opted_out:
        changed = await refusals.refuse(work.connection, refusals.of_user(subject), at)
    else:
        changed = await refusals.allow(work.connection, _names(subject, principal.email))
    if changed:
        address = None if opted_out else principal.email
        work.send(MailWished(owner=subject, opted_out=opted_out, address=address, at=at))


def _names(subject: str, address: str | None) -> list[str]:
    return [refusals.of_user(subject), *([refusals.of_address(address)] if address else [])]
