"""Asking in a cluster of NATS what it does not know yet: who leads a consumer, who listens to a subject."""

from __future__ import annotations

from nats.aio.msg import Msg
from nats.errors import NoRespondersError
from nats.js import JetStreamContext
from nats.js.errors import ServiceUnavailableError
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_fixed

__all__ = ["fetch", "until_heard", "until_led"]

_LED_WITHIN = 1.0
_HEARD_WITHIN = 0.5
_PAUSE = 0.02


def until_led() -> AsyncRetrying:
    """Return what asks again after a `ServiceUnavailableError`, for a while.

    In a cluster a consumer that was made a moment ago, and said to be, may be unknown to the server that we ask: one
    of twenty requests that follow at once finds nobody there.
    """
    return _again_after(ServiceUnavailableError, _LED_WITHIN)


def until_heard() -> AsyncRetrying:
    """Return what asks again after a `NoRespondersError`, for a moment.

    A service that just came, or came back, may be heard by the server that it is at and not by ours yet.
    """
    return _again_after(NoRespondersError, _HEARD_WITHIN)


def _again_after(error: type[Exception], within: float) -> AsyncRetrying:
    return AsyncRetrying(
        retry=retry_if_exception_type(error), stop=stop_after_delay(within), wait=wait_fixed(_PAUSE), reraise=True
    )


async def fetch(subscription: JetStreamContext.PullSubscription, batch: int, *, within: float) -> list[Msg]:
    """Fetch messages from a consumer that was just made."""
    messages: list[Msg] = await until_led()(subscription.fetch, batch, timeout=within)
    return messages
