"""A service answers in inboxes only: whoever may ask it something cannot have it speak where they may not."""

from __future__ import annotations

import asyncio

from nats import connect

from contracts.queries import CheckHealth
from contracts.subjects import event_subject, query_subject
from services.chassis.settings import NatsSettings
from tests.support.site import run_site


async def test_no_answer_goes_where_others_listen(nats: NatsSettings) -> None:
    async with run_site(nats):
        client = await connect(nats.url)
        try:
            heard: asyncio.Queue[bytes] = asyncio.Queue()

            async def hear(message: object) -> None:
                heard.put_nowait(message.data)  # type: ignore[attr-defined]

            place = event_subject("workload", "accepted", "x")
            await client.subscribe(place, cb=hear)
            question = query_subject(CheckHealth, "storage")
            await client.publish(question, b"{}", reply=place)
            assert (await client.request(question, b"{}", timeout=5)).data
            await client.flush()
            assert heard.empty()
        finally:
            await client.close()
