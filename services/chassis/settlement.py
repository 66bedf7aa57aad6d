"""What becomes of a message after its handler: acknowledged, refused, tried again, or parked for an operator."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import nats.errors
import structlog
from prometheus_client import Counter

from contracts.errors import RefusedError, TooLargeError, UnavailableError
from contracts.events import MessageParked
from contracts.ids import message_id_after
from contracts.subjects import parked_subject

from .parking import PARKED, parked_header

if TYPE_CHECKING:
    from .bus import Delivery

__all__ = ["MAX_DELIVER", "PAUSES", "Settlement"]

MAX_DELIVER = 5
"""How often a message may fail for a reason that is ours, before it is parked."""

PAUSES = (0.5, 2.0, 5.0, 15.0)
"""Seconds before the next delivery, by the number of failures so far."""

_LONGEST_PAUSE = 15.0
_SHOWN = 64 * 1024
"""Bytes that are kept of a message that is too large to be parked."""
_REMEMBERED = 10_000
"""Messages whose failures are counted; one that another replica took over must not be remembered for ever."""

_HANDLED = Counter("shunter_messages", "Messages by what became of them", ["service", "outcome"])

log = structlog.get_logger(__name__)

Announce = Callable[..., Awaitable[None]]
Publish = Callable[[str, bytes, str, Mapping[str, str] | None], Awaitable[None]]


class Settlement:
    """Translates our errors for NATS, once for all handlers."""

    def __init__(self, *, service: str, publish: Publish, announce: Announce, pauses: Sequence[float] = PAUSES) -> None:
        self._service = service
        self._publish = publish
        self._announce = announce
        self._pauses = pauses
        self._failures: dict[str, int] = {}

    async def settle(self, raw: Any, delivery: Delivery, handling: Awaitable[None]) -> None:
        """Await a handler and tell the stream how it went."""
        try:
            await handling
        except RefusedError as error:
            log.info("message.refused", subject=delivery.subject, code=error.code, detail=error.detail)
            await self._tell(raw.term(), "refused")
        except UnavailableError as error:
            pause = min(error.retry_after or self._pause(delivery.deliveries), _LONGEST_PAUSE)
            log.warning("message.postponed", subject=delivery.subject, detail=error.detail, pause=pause)
            await self._tell(raw.nak(delay=pause), "postponed")
        except Exception as error:
            log.exception("message.failed", subject=delivery.subject, deliveries=delivery.deliveries)
            await self._fail(raw, delivery, error)
        else:
            self._failures.pop(_place(delivery), None)
            await self._tell(raw.ack(), "acknowledged")

    async def _fail(self, raw: Any, delivery: Delivery, error: Exception) -> None:
        # Deliveries that only waited for a service to come back do not count; a crash of ours does not either,
        # so the stream's own count decides when the process keeps dying on one message.
        failures = self.count_failure(_place(delivery))
        if failures < MAX_DELIVER and delivery.deliveries < MAX_DELIVER * 20:
            await self._tell(raw.nak(delay=self._pause(failures)), "failed")
            return
        await self._park(raw, delivery, error)
        self._failures.pop(_place(delivery), None)

    def count_failure(self, place: str) -> int:
        """Return how often a message has failed here, this time included."""
        failures = self._failures.pop(place, 0) + 1
        self._failures[place] = failures
        if len(self._failures) > _REMEMBERED:
            del self._failures[next(iter(self._failures))]
        return failures

    @property
    def remembered(self) -> int:
        """Return of how many messages failures are counted."""
        return len(self._failures)

    def _pause(self, failures: int) -> float:
        return self._pauses[min(failures, len(self._pauses)) - 1]

    async def _park(self, raw: Any, delivery: Delivery, error: Exception) -> None:
        stream = raw.metadata.stream
        parked = MessageParked(
            service=self._service,
            stream=stream,
            subject=delivery.subject,
            sequence=delivery.sequence,
            deliveries=delivery.deliveries,
            message_id=delivery.message_id,
            error=f"{type(error).__name__}: {error}"[:500],
        )
        subject, parked_id = parked_subject(self._service, delivery.subject), f"parked-{stream}-{delivery.sequence}"
        headers = {PARKED: parked_header(parked)}
        try:
            await self._publish(subject, raw.data, parked_id, headers)
        except TooLargeError:
            # None of ours is so large; an operator shall still see that it came.
            await self._publish(subject, raw.data[:_SHOWN], parked_id, headers)
        context = delivery.context.acting_as(f"service:{self._service}")
        # One message is parked once, however often the announcement is repeated.
        await self._announce(parked, context, event_id=message_id_after("parked", delivery.message_id))
        await self._tell(raw.term(), "parked")

    async def _tell(self, answer: Awaitable[None], outcome: str) -> None:
        _HANDLED.labels(self._service, outcome).inc()
        # If the connection is gone the message comes again, and the inbox knows it.
        with suppress(nats.errors.Error):
            await answer


def _place(delivery: Delivery) -> str:
    """Return what only this message has: two may bear one id, if somebody forged the other."""
    return f"{delivery.subject} {delivery.sequence}"
