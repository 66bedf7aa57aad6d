"""What mail is made of."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import RowMapping, Table

from services.chassis.service import Frame
from services.scheduler.settings import SchedulerSettings
from services.scheduler.tables import notices
from services.scheduler.webhooks.matching import Target

from .carrying import MailCarrier, make_sender
from .composing import Composer
from .gate import MailGate
from .matching import CHANNEL, NoticeTarget
from .service import MailService
from .tickets import MailLinks

__all__ = ["MailParts"]


class MailParts:
    """Every part. What is to be sent is found and sent with the webhooks."""

    channel = CHANNEL

    def __init__(self, frame: Frame, settings: SchedulerSettings) -> None:
        section = settings.scheduler.mail
        self._links = MailLinks(settings.ticket_key, section.site_url)
        self._composer = Composer(section)
        self._site = section.sender_name
        self.gate = MailGate(section)
        self.service = MailService(unit=frame.unit, links=self._links, sends=section.is_on)
        self.carrier = MailCarrier(sender=make_sender(section), settings=section)

    @property
    def teller(self) -> tuple[Table, Callable[[RowMapping], Target]]:
        """Return the table of those who are told, and what its rows are."""
        return notices, self._target

    def _target(self, row: RowMapping) -> Target:
        return NoticeTarget(row, self._composer, self._links, self._site)
