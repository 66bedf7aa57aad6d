"""Asking a consumer for messages when nobody leads it yet, as far as our server has heard."""

from __future__ import annotations

from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.errors import ServiceUnavailableError
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_fixed

__all__ = ["fetch", "until_led"]

_LED_WITHIN = 1.0
_PAUSE = 0.02


def until_led() -> AsyncRetrying:
    """Return what asks again after a `ServiceUnavailableError`, for a while.

    In a cluster a consumer that was made a moment ago, and said to be, may be unknown to the server that we ask: one
    of twenty requests that follow at once finds nobody there.
    """
    return AsyncRetrying(
        retry=retry_if_exception_type(ServiceUnavailableError),
        stop=stop_after_delay(_LED_WITHIN),
        wait=wait_fixed(_PAUSE),
        reraise=True,
    )


async def fetch(subscription: JetStreamContext.PullSubscription, batch: int, *, within: float) -> list[Msg]:
    """Fetch messages from a consumer that was just made."""
    messages: list[Msg] = await until_led()(subscription.fetch, batch, timeout=within)
    return messages
