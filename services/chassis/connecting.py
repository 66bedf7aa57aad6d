"""The first connection to NATS: waited for, within limits, with a clear word when it cannot be had."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import nats.errors
import structlog
from nats.aio.client import Client

from contracts.errors import UnauthenticatedError, UnavailableError

from .errors import translated
from .settings import NatsSettings

__all__ = ["require_nats", "until_heard_out", "until_it_answers"]

_PAUSE = 0.2
_REFUSALS = 3
"""A server that is just starting may break off once; one that refuses us does so every time."""

log = structlog.get_logger(__name__)


async def require_nats(settings: NatsSettings) -> None:
    """Wait until NATS lets us in; raises `UnauthenticatedError` or, after `connect_within` seconds, `UnavailableError`.

    The connection that stays is made with endless retries, and would also retry a wrong password for ever.
    """
    deadline = time.monotonic() + settings.connect_within
    refusals = 0
    while True:
        try:
            await _try(settings)
        except (OSError, nats.errors.NoServersError, TimeoutError) as error:
            last: Exception = error
        except nats.errors.Error as error:
            # The server is there and breaks off: it does not know us.
            last, refusals = error, refusals + 1
            if refusals == _REFUSALS:
                raise UnauthenticatedError(
                    f"NATS at {settings.url} does not let {_who(settings)} in: {error}"
                ) from error
        else:
            return
        if time.monotonic() > deadline:
            raise UnavailableError(
                f"NATS at {settings.url} did not answer within {settings.connect_within:g} s: {last}"
            ) from last
        log.warning("nats.awaited", url=settings.url, error=repr(last))
        await asyncio.sleep(_PAUSE)


async def until_it_answers(act: Callable[[], Awaitable[object]], settings: NatsSettings) -> None:
    """Do what a start needs of NATS, again where it does not answer in time; raises after `connect_within` seconds.

    A server that has just come up, or that came back frozen, greets before it answers.
    """
    deadline = time.monotonic() + settings.connect_within
    while True:
        try:
            with translated("NATS"):
                await act()
        except UnavailableError as error:
            if time.monotonic() > deadline:
                raise
            log.warning("nats.awaited", url=settings.url, error=error.detail)
            await asyncio.sleep(_PAUSE)
        else:
            return


async def until_heard_out(connection: Client) -> None:
    """Wait until the server has heard all that was said on a connection; raises nats-py's error if it does not answer.

    What nats-py flushes by overtakes what it has not written yet: the second one comes after that.
    """
    for _ in range(2):
        await connection.flush()


def _who(settings: NatsSettings) -> str:
    return f"user {settings.user!r}" if settings.user else "anybody without a name"


async def _try(settings: NatsSettings) -> None:
    async def ignore(_error: Exception) -> None:
        """Keep nats-py from logging what we raise."""

    client = Client()
    try:
        # One plain try: with reconnecting allowed, nats-py would go on by itself.
        await client.connect(
            settings.url,
            user=settings.user,
            password=settings.password.get_secret_value() if settings.password else None,
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            connect_timeout=2,
            error_cb=ignore,
        )
    finally:
        with suppress(OSError):
            await client.close()
