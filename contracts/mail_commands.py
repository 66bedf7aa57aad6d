"""Commands about who wants mail."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import StringConstraints

from .command import Command
from .principals import Principal

__all__ = ["MAIL_COMMANDS", "MailTicketText", "RefuseMail", "WishMail"]

MailTicketText = Annotated[str, StringConstraints(min_length=1, max_length=2048, pattern=r"^[A-Za-z0-9._=-]+$")]
"""What stands in the link of a mail: signed by the site, it proves that whoever has it was sent that mail."""


class WishMail(Command):
    """Send mail about jobs of mine, or do not. Answered with the `MailStanding`."""

    name: ClassVar[str] = "mail.wish"
    service: ClassVar[str] = "scheduler"

    principal: Principal
    opted_out: bool

    @property
    def target_id(self) -> str:
        """Return whose wish it is."""
        return self.principal.subject


class RefuseMail(Command):
    """Send nothing more to the address of this ticket. Answered with the `MailRefusal`; who has the ticket may."""

    name: ClassVar[str] = "mail.refuse"
    service: ClassVar[str] = "scheduler"

    ticket: MailTicketText


MAIL_COMMANDS: tuple[type[Command], ...] = (WishMail, RefuseMail)
"""Every command about mail."""
