"""A runner connects to NATS in the end, whatever greets it first."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import pytest

from services.chassis.settings import NatsSettings
from services.scheduler.runner.link import Link
from services.scheduler.runner.settings import NatsSettings as RunnerNats
from tests.support.fault_proxy import run_proxy


@pytest.mark.parametrize("greeting", [b"", b"INFO", b"INFO {", b"INFO {}\r\n", b"-ERR 'no'\r\n"])
async def test_a_greeting_that_breaks_off_is_not_the_end(nats: NatsSettings, greeting: bytes) -> None:
    async def answer(_: bytes) -> bytes:
        return b""

    with run_proxy() as proxy:
        port = urlsplit(nats.url).port or 0
        # Whoever it says we are stays in it.
        url = nats.url.replace(f":{port}", f":{proxy.add('nats', port)}")
        proxy.greet("nats", greeting)
        link = Link(RunnerNats(url=url), "runner")
        async with asyncio.timeout(30):
            await link.start("local", answer)
            await link.until_up()
            await link.client.flush()
        assert link.is_up
        await link.close()
