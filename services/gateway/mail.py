"""Mail, as users ask about it: everything is the scheduler's; this says it on the bus."""

from __future__ import annotations

from contracts.envelope import Context
from contracts.mail import MailRefusal, MailStanding
from contracts.mail_commands import RefuseMail, WishMail
from contracts.mail_queries import GetMailStanding, ReadMailTicket
from services.chassis.bus import Bus

from .callers import Caller

__all__ = ["MailService", "OptOut"]

_ACTOR = "mail:opt-out"
"""Who acts by the link in a mail: whoever reads it, which need be no user."""


class MailService:
    """Shows and changes whether one caller gets mail."""

    def __init__(self, *, bus: Bus, caller: Caller, wait: float) -> None:
        self._bus = bus
        self._caller = caller
        self._wait = wait

    async def get(self) -> MailStanding:
        """Return how it stands with the caller's mail."""
        found: MailStanding = await self._bus.ask(GetMailStanding(principal=self._caller.principal))
        return found

    async def wish(self, *, opted_out: bool) -> MailStanding | None:
        """Have mail sent or not; none if the scheduler is away, then it will be done later."""
        command = WishMail(principal=self._caller.principal, opted_out=opted_out)
        found: MailStanding | None = await self._bus.order(
            command, self._caller.context, wait=self._wait, answer=MailStanding
        )
        return found


class OptOut:
    """What the link in a mail does; who has it may, and need not be known here."""

    def __init__(self, *, bus: Bus, traceparent: str, wait: float) -> None:
        self._bus = bus
        self._context = Context.start(_ACTOR, traceparent=traceparent)
        self._wait = wait

    async def read(self, ticket: str) -> MailRefusal:
        """Return which address it is about."""
        found: MailRefusal = await self._bus.ask(ReadMailTicket(ticket=ticket))
        return found

    async def refuse(self, ticket: str) -> MailRefusal | None:
        """Have nothing more sent there; none if the scheduler is away, then it will be done later."""
        command = RefuseMail(ticket=ticket)
        found: MailRefusal | None = await self._bus.order(command, self._context, wait=self._wait, answer=MailRefusal)
        return found
