"""Which moves of a job are told by mail, and to whom."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

from pydantic import ValidationError
from sqlalchemy import RowMapping

from contracts.envelope import Envelope
from contracts.events import WorkloadMoved
from contracts.mail import Notify
from contracts.states import WorkloadState
from services.scheduler.records import Record
from services.scheduler.webhooks.formats import Body, JobFacts, state_of
from services.scheduler.webhooks.records import new_delivery

from .composing import Composer, Letter
from .notices import notify_of
from .tickets import MailLinks

__all__ = ["CHANNEL", "NoticeTarget"]

CHANNEL = "mail"
"""How deliveries are marked that travel as mail."""


@dataclass(frozen=True)
class NoticeTarget:
    """Whom one job is told to by mail."""

    row: RowMapping
    composer: Composer
    links: MailLinks
    site: str

    wants_facts = True

    @cached_property
    def notify(self) -> Notify:
        """Return what was asked for."""
        return notify_of(self.row)

    def drafts(self, envelope: Envelope, facts: JobFacts) -> Iterator[Record]:
        """Return a row for each address that is told of an event."""
        state = state_of(envelope)
        if state is None or not self.notify.wants(state):
            return
        try:
            moved = envelope.unwrap(WorkloadMoved)
        except ValidationError:
            return  # nobody is told of what we cannot read
        for address in self.notify.recipients:
            yield self._draft(envelope, moved, facts, address)

    def _draft(self, envelope: Envelope, moved: WorkloadMoved, facts: JobFacts, address: str) -> Record:
        job, mark = self.row["workload_id"], sha256(address.lower().encode()).hexdigest()[:16]
        row = new_delivery(
            target=job,
            line=f"{job}/mail-{mark}",
            owner=self.row["owner"],
            project=self.row["project"],
            subscription_id=None,
            about=job,
            event_id=envelope.id,
            event_type=envelope.type,
            url=f"mailto:{address}",
            body=Body("message/rfc822", b"", _key(moved, mark)),
            channel=CHANNEL,
        )
        letter = self._letter(moved, facts, address)
        return {**row, "body": self.composer.compose(letter, recipient=address, delivery=row["id"])}

    def _letter(self, moved: WorkloadMoved, facts: JobFacts, address: str) -> Letter:
        return Letter(
            job=moved.workload_id,
            name=facts.name or moved.workload_id,
            owner=moved.owner,
            state=moved.new.value,
            message=moved.message,
            exit_code=moved.exit_code,
            attempt=moved.attempt,
            backend=moved.backend or "",
            wall_seconds=moved.usage.wall_seconds if moved.usage else None,
            at=moved.at,
            opt_out=self.links.opt_out(address),
            site=self.site,
        )


def _key(moved: WorkloadMoved, mark: str) -> str:
    """Name what is told to whom. A state is told once; a job may be held many times, and each is told."""
    again = f"-{moved.revision}" if moved.new is WorkloadState.HELD else ""
    return f"mail-{moved.new}{again}-{mark}"
