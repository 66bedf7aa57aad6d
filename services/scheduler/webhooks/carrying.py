"""How a delivery travels: what every way offers, and the way of webhooks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.errors import InvalidError
from contracts.hooks import Address, read_url
from contracts.subscriptions import SubscriptionState
from services.chassis.sealing import Sealer
from services.chassis.unit import Work
from services.scheduler.patience import Patience
from services.scheduler.records import Record
from services.scheduler.settings import Webhooks
from services.scheduler.tables import callbacks

from . import store
from .formats import PING
from .records import callback_of, spec_of
from .sending import SIGNATURE, Answer, Sender, UnreachableError, sign
from .steering import pause
from .targets import Targets

__all__ = ["Bound", "Carrier", "Dropped", "Outcome", "WebhookCarrier"]

_GONE = 410
_AGENT = "Shunter-Webhook/1"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one try."""

    good: bool
    status: int | None = None
    error: str = ""
    retry_after: float | None = None
    final: bool = False
    """Whether another try would end the same way."""


@dataclass(frozen=True, slots=True)
class Bound:
    """Where a delivery goes now."""

    host: str
    """All that goes to one host is bounded together."""
    url: str
    send: Callable[[], Awaitable[Outcome]]


@dataclass(frozen=True, slots=True)
class Dropped:
    """Nothing is sent: it is not wanted any more."""

    why: str


class Carrier(ABC):
    """One way in which deliveries travel."""

    lease: ClassVar[float | None] = None
    """Seconds beyond its own limit for which a try is written down before it is made, so that nobody makes it twice;
    none where a repetition does no harm."""

    patience: Patience
    limit: float
    """Seconds that one try may take."""
    at_once: int
    """How many go to one host at a time."""

    @abstractmethod
    async def bind(self, connection: AsyncConnection, row: Record) -> Bound | Dropped | None:
        """Return where a delivery goes, or that it is dropped; none if it has to wait."""

    @abstractmethod
    async def note_delivered(self, work: Work, row: Record) -> None:
        """Write down what else is to be written when it has arrived."""

    @abstractmethod
    async def note_dead(self, work: Work, row: Record, outcome: Outcome) -> None:
        """Write down what else is to be written when nobody tries any more."""


class WebhookCarrier(Carrier):
    """POSTs to the target of a callback or a subscription."""

    def __init__(self, *, sender: Sender, sealer: Sealer, targets: Targets, settings: Webhooks) -> None:
        self._sender = sender
        self._sealer = sealer
        self._targets = targets
        self.patience, self.limit, self.at_once = settings, settings.timeout, settings.per_host

    async def bind(self, connection: AsyncConnection, row: Record) -> Bound | Dropped | None:
        """Return where to send, none if nothing goes there now."""
        found = await _target(connection, row)
        if found is None:
            return None
        url, secret = found
        address = read_url(url)

        async def send() -> Outcome:
            return await self._try(row, address, secret)

        return Bound(address.host, url, send)

    async def note_delivered(self, work: Work, row: Record) -> None:
        """Nothing more is to be written."""

    async def note_dead(self, work: Work, row: Record, outcome: Outcome) -> None:
        """Tell a target nothing more that says it is gone."""
        if outcome.status != _GONE:
            return
        if row["subscription_id"] is None:
            this = callbacks.c.workload_id == row["workload_id"]
            await work.connection.execute(update(callbacks).where(this).values(closed=True))
            return
        found = await store.lock(work.connection, row["subscription_id"])
        if found is not None and found["state"] == SubscriptionState.ACTIVE:
            await pause(work, found, "its target answered 410 Gone")

    async def _try(self, row: Record, address: Address, secret: str | None) -> Outcome:
        # What was allowed when it was asked for need not be allowed any more.
        if refusal := self._targets.refusal(address):
            return Outcome(good=False, error=refusal)
        try:
            answer = await self._sender.post(address, self._headers(row, secret), row["body"])
        except UnreachableError as error:
            return Outcome(good=False, error=str(error))
        except InvalidError as error:
            return Outcome(good=False, error=error.detail)
        return _outcome(answer)

    def _headers(self, row: Record, secret: str | None) -> list[tuple[str, str]]:
        headers = [
            ("content-type", row["content_type"]),
            ("user-agent", _AGENT),
            ("ce-id", row["event_id"]),
            ("shunter-delivery", row["id"]),
            ("shunter-attempt", str(row["attempts"] + 1)),
        ]
        if secret is not None:
            headers.append((SIGNATURE, sign(self._sealer.open(secret), row["body"])))
        return headers


async def _target(connection: AsyncConnection, row: Record) -> tuple[str, str | None] | None:
    """Return the URL and the sealed secret."""
    if row["subscription_id"] is None:
        told = await store.find_callback(connection, row["workload_id"])
        return (callback_of(told).url, callback_of(told).secret) if told else None
    subscription = await store.find(connection, row["subscription_id"])
    if subscription is None:
        return None
    state, spec = SubscriptionState(subscription["state"]), spec_of(subscription)
    if state is SubscriptionState.DELETED:
        return None  # what waited was dropped with it
    may_go = state is SubscriptionState.ACTIVE or row["event_type"] == PING
    return (spec.url, spec.secret) if may_go else None


def _outcome(answer: Answer) -> Outcome:
    known: dict[str, Any] = {"status": answer.status, "retry_after": answer.retry_after}
    if 200 <= answer.status < 300:
        return Outcome(good=True, **known)
    words = f"answered {answer.status}{'; redirects are not followed' if answer.status < 400 else ''}"
    return Outcome(good=False, error=words, final=answer.status == _GONE, **known)
