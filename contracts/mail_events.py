"""Events about mail."""

from __future__ import annotations

from typing import ClassVar

from .fact import Event
from .ids import WorkloadId
from .model import Timestamp
from .subscriptions import DeliveryId

__all__ = ["MAIL_EVENTS", "MailRefused", "MailSent", "MailWished"]


class MailWished(Event):
    """Somebody wants mail about jobs of theirs, or wants none."""

    name: ClassVar[str] = "mail.wished"

    owner: str
    opted_out: bool
    address: str | None = None
    """Of an owner who wants mail again: their own, where a link may have refused it."""
    at: Timestamp

    @property
    def subject_id(self) -> str:
        """Return whose wish it is."""
        return self.owner


class MailRefused(Event):
    """Nothing more is to be sent to an address: said by the link in a mail to it."""

    name: ClassVar[str] = "mail.refused"

    address: str
    at: Timestamp


class MailSent(Event):
    """A mail server took a mail. Tables that are built again from events know by this that it went out."""

    name: ClassVar[str] = "mail.sent"

    delivery_id: DeliveryId
    owner: str
    project: str | None = None
    workload_id: WorkloadId
    key: str
    """Names what was told to whom; the same is told once."""
    event_id: str
    event_type: str
    url: str
    """`mailto:` and the address."""
    at: Timestamp

    @property
    def subject_id(self) -> str:
        """Return the job that it told of."""
        return self.workload_id


MAIL_EVENTS: tuple[type[Event], ...] = (MailWished, MailRefused, MailSent)
"""Every event about mail."""
