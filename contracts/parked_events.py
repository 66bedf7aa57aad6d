"""Events about messages that could not be handled."""

from __future__ import annotations

from typing import ClassVar

from .fact import Event

__all__ = ["MessageDropped", "MessageParked", "MessageResent"]


class MessageParked(Event):
    """A message could not be handled, many times; it waits for an operator in the PARKED stream."""

    name: ClassVar[str] = "message.parked"

    service: str
    stream: str
    subject: str
    sequence: int
    deliveries: int
    message_id: str
    error: str

    @property
    def subject_id(self) -> str:
        """Return the message's identifier."""
        return self.message_id or "none"


class _ParkedEvent(Event):
    """The envelope's actor says who did it."""

    service: str
    subject: str
    sequence: int
    """The message's place in the PARKED stream."""
    message_id: str

    @property
    def subject_id(self) -> str:
        """Return the message's identifier."""
        return self.message_id or "none"


class MessageResent(_ParkedEvent):
    """An operator sent a parked message again."""

    name: ClassVar[str] = "message.resent"


class MessageDropped(_ParkedEvent):
    """An operator dropped a parked message."""

    name: ClassVar[str] = "message.dropped"
