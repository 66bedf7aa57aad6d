"""Which events go to which target, pure."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Protocol

from sqlalchemy import RowMapping

from contracts.envelope import Envelope
from contracts.hook_events import HOOK_EVENTS
from contracts.hooks import Callback
from contracts.subscriptions import SubscriptionSpec
from services.chassis.policy import Scope, is_visible, scope_of
from services.scheduler.records import Record

from .formats import FORMATS, JobFacts, state_of
from .records import callback_of, new_delivery, principal_of, spec_of

__all__ = ["CallbackTarget", "SubscriptionTarget", "Target"]

_PREFIX = "org.shunter."
_ABOUT_DELIVERIES = "delivery."
"""What cannot be delivered is told, but not by delivering it: two broken targets would keep each other busy."""

_WORKLOAD = "workload."

assert any(kind.name.startswith(_ABOUT_DELIVERIES) for kind in HOOK_EVENTS)


class Target(Protocol):
    """Whom events are told."""

    @property
    def wants_facts(self) -> bool:
        """Say whether it must know the names and labels of jobs."""

    def drafts(self, envelope: Envelope, facts: JobFacts) -> Iterable[Record]:
        """Return the rows of what is to be sent of an event."""


class _One(ABC):
    """Has at most one row of an event."""

    @abstractmethod
    def draft(self, envelope: Envelope, facts: JobFacts) -> Record | None:
        """Return the row of what is to be sent, if this event is to be told."""

    def drafts(self, envelope: Envelope, facts: JobFacts) -> Iterable[Record]:
        """Return the rows of what is to be sent of an event."""
        row = self.draft(envelope, facts)
        return () if row is None else (row,)


@dataclass(frozen=True)
class CallbackTarget(_One):
    """The callback of one job."""

    row: RowMapping

    @cached_property
    def callback(self) -> Callback:
        """Return what was asked for."""
        return callback_of(self.row)

    @property
    def wants_facts(self) -> bool:
        """Say whether it must know the names and labels of jobs."""
        return self.callback.format != "cloudevents"

    def draft(self, envelope: Envelope, facts: JobFacts) -> Record | None:
        """Return the row of what is to be sent, if this event is to be told."""
        state = state_of(envelope)
        if state is None or not self.callback.wants(state):
            return None
        body = FORMATS[self.callback.format](envelope, facts)
        if body is None:
            return None
        job = self.row["workload_id"]
        return new_delivery(
            target=job,
            line=job,
            owner=self.row["owner"],
            project=self.row["project"],
            subscription_id=None,
            about=job,
            event_id=envelope.id,
            event_type=envelope.type,
            url=self.callback.url,
            body=body,
        )


@dataclass(frozen=True)
class SubscriptionTarget(_One):
    """A standing subscription."""

    row: RowMapping

    @cached_property
    def spec(self) -> SubscriptionSpec:
        """Return what was asked for."""
        return spec_of(self.row)

    @cached_property
    def _scope(self) -> Scope:
        return scope_of(principal_of(self.row))

    @property
    def wants_facts(self) -> bool:
        """Say whether it must know the names and labels of jobs."""
        return bool(self.spec.labels or self.spec.job_name is not None or self.spec.format != "cloudevents")

    def may_want(self, noun: str) -> bool:
        """Say whether it may want any event of this noun: the rest need not be read."""
        if self.spec.job or self.spec.states or self.spec.job_name is not None or self.spec.labels:
            return f"{noun}." == _WORKLOAD
        shorts = [kind.removeprefix(_PREFIX) for kind in self.spec.types]
        return not shorts or any(noun.startswith(short) or short.startswith(f"{noun}.") for short in shorts)

    def draft(self, envelope: Envelope, facts: JobFacts) -> Record | None:
        """Return the row of what is to be sent, if this event is one of those."""
        if not self._wants(envelope, facts):
            return None
        body = FORMATS[self.spec.format](envelope, facts)
        if body is None:
            return None
        about = envelope.subject[:128]
        return new_delivery(
            target=self.row["id"],
            line=f"{self.row['id']}/{about}",
            owner=self.row["owner"],
            project=None,
            subscription_id=self.row["id"],
            about=about if _is_of_workload(envelope) else None,
            event_id=envelope.id,
            event_type=envelope.type,
            url=self.spec.url,
            body=body,
        )

    def _wants(self, envelope: Envelope, facts: JobFacts) -> bool:
        spec, since = self.spec, _moment(self.row)
        short = envelope.type.removeprefix(_PREFIX)
        if envelope.time < since or short.startswith(_ABOUT_DELIVERIES):
            return False
        if spec.types and not any(short.startswith(kind.removeprefix(_PREFIX)) for kind in spec.types):
            return False
        if spec.project is not None and envelope.project != spec.project:
            return False
        return self._may_see(envelope) and self._fits_job(envelope, facts)

    def _may_see(self, envelope: Envelope) -> bool:
        if self.spec.of == "mine":
            return bool(envelope.owner == self.row["owner"])
        return is_visible(self._scope, envelope.owner, envelope.project)

    def _fits_job(self, envelope: Envelope, facts: JobFacts) -> bool:
        spec = self.spec
        if not (spec.job or spec.states or spec.job_name is not None or spec.labels):
            return True
        if not _is_of_workload(envelope) or spec.job not in {None, envelope.subject}:
            return False
        if spec.states and state_of(envelope) not in spec.states:
            return False
        if spec.job_name not in {None, facts.name}:
            return False
        return all(facts.labels.get(name) == value for name, value in spec.labels.items())


def _is_of_workload(envelope: Envelope) -> bool:
    return envelope.type.removeprefix(_PREFIX).startswith(_WORKLOAD)


def _moment(row: RowMapping) -> datetime:
    found: datetime = row["created_at"]
    return found
