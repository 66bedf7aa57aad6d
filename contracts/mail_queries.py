"""Questions about who wants mail."""

from __future__ import annotations

from typing import Any, ClassVar

from .mail import MailRefusal, MailStanding
from .mail_commands import MailTicketText
from .principals import Principal
from .query import Query

__all__ = ["MAIL_QUERIES", "GetMailStanding", "ReadMailTicket"]


class GetMailStanding(Query):
    """Tell me how it stands with my mail."""

    name: ClassVar[str] = "mail.get"
    service: ClassVar[str] = "scheduler"
    answer: ClassVar[Any] = MailStanding

    principal: Principal


class ReadMailTicket(Query):
    """Tell me which address a ticket is about."""

    name: ClassVar[str] = "mail.read"
    service: ClassVar[str] = "scheduler"
    answer: ClassVar[Any] = MailRefusal

    ticket: MailTicketText


MAIL_QUERIES: tuple[type[Query], ...] = (GetMailStanding, ReadMailTicket)
"""Every question about mail."""
