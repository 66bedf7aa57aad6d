"""The link in a mail by which its reader wants no more of them."""

from __future__ import annotations

from urllib.parse import quote

from pydantic import SecretStr

from contracts.mail import MailAddress
from contracts.model import Model
from services.chassis.tickets import Tickets

__all__ = ["MailLinks", "MailTicket"]

_LIVES = 366 * 86400.0
"""Seconds: people look for it in old mail."""


class MailTicket(Model):
    """Says that whoever has it was sent a mail there."""

    address: MailAddress


class MailLinks:
    """Makes and reads links."""

    def __init__(self, key: SecretStr, site_url: str | None) -> None:
        self._tickets = Tickets(key, MailTicket)
        self._site = (site_url or "").rstrip("/")

    def opt_out(self, address: str) -> str:
        """Return the link for an address; empty where the site has not said where it is."""
        if not self._site:
            return ""
        return f"{self._site}/v1/mail/opt-out?ticket={quote(self._tickets.issue(MailTicket(address=address)))}"

    def read(self, ticket: str) -> str:
        """Return the address; raises `ForbiddenError` for what was not signed here, or long ago."""
        return self._tickets.read(ticket, _LIVES).address
