"""What hands a mail over to whoever carries it on: SMTP, or an HTTP API, behind one interface."""

from __future__ import annotations

import ssl
from abc import ABC, abstractmethod
from pathlib import Path

from services.scheduler.webhooks.carrying import Outcome

__all__ = ["MailSender", "short_words", "trust"]

_LONGEST = 300


class MailSender(ABC):
    """Hands mail over."""

    host: str
    """Where to."""

    @abstractmethod
    async def send(self, message: bytes, *, recipient: str, delivery: str) -> Outcome:
        """Hand one message over; *delivery* names it, the same with every try."""


def trust(ca_file: Path | None) -> ssl.SSLContext:
    """Return whose certificates are believed."""
    context = ssl.create_default_context()
    if ca_file:
        context.load_verify_locations(ca_file)
    return context


def short_words(text: str) -> str:
    """Return what a server says, as it can be shown to an owner."""
    return "".join(char if char.isprintable() else " " for char in text)[:_LONGEST].strip()
