"""Schedulers that send mail, and somebody who looks after theirs."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from pydantic import SecretStr

from contracts.envelope import Context
from contracts.errors import UnavailableError
from contracts.mail import MailRefusal, MailStanding
from contracts.mail_commands import RefuseMail, WishMail
from contracts.mail_queries import GetMailStanding
from contracts.principals import Level, Principal
from services.chassis.bus import Bus
from services.scheduler.mail.settings import Mail
from services.scheduler.settings import SchedulerSettings
from tests.support.post_office import PostOffice

__all__ = ["POSTED", "Reader", "addressed", "mailing", "ticket_in"]

POSTED = Principal(subject="ada", projects={"demo": Level.MEMBER}, email="ada@example.org")
"""Ada, of whom the site knows where mail goes."""


def addressed(address: str) -> Principal:
    """Return her with another address."""
    return POSTED.model_copy(update={"email": address})


def mailing(settings: SchedulerSettings, office: PostOffice | None = None, **more: Any) -> SchedulerSettings:
    """Let a scheduler send mail, and try again soon."""
    given: dict[str, Any] = {
        "smtp": {"host": "127.0.0.1", "port": office.port, "tls": "none"} if office else None,
        "sender": "no-reply@shunter.example.org",
        "site_url": "https://shunter.example.org/",
        "first_pause": 0.2,
        "attempts": 4,
        "timeout": 3.0,
        **more,
    }
    settings.scheduler.mail = Mail.model_validate(given)
    settings.scheduler.webhooks = settings.scheduler.webhooks.model_copy(update={"look": 0.5})
    settings.ticket_key = SecretStr("k" * 40)
    return settings


def ticket_in(text: str) -> str:
    """Return the ticket of the link in a mail."""
    return text.partition("ticket=")[2].split()[0].strip("<>")


class Reader:
    """Sends what the gateway would send about somebody's mail."""

    def __init__(self, bus: Bus, principal: Principal = POSTED) -> None:
        self._bus = bus
        self._principal = principal

    async def standing(self) -> MailStanding:
        """Look how it stands."""
        async with asyncio.timeout(20):
            while True:
                with suppress(UnavailableError):  # the scheduler is on its way
                    found: MailStanding = await self._bus.ask(GetMailStanding(principal=self._principal))
                    return found
                await asyncio.sleep(0.05)

    async def wish(self, *, opted_out: bool) -> MailStanding:
        """Want none, or want it again."""
        command = WishMail(principal=self._principal, opted_out=opted_out)
        context = Context.start(f"user:{self._principal.subject}")
        found: MailStanding = await self._bus.order(command, context, wait=10, answer=MailStanding)
        return found

    async def refuse(self, ticket: str) -> MailRefusal:
        """Follow the link of a mail."""
        context = Context.start("mail:opt-out")
        found: MailRefusal = await self._bus.order(RefuseMail(ticket=ticket), context, wait=10, answer=MailRefusal)
        return found
