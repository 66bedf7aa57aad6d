"""The real servers come up and answer."""

from __future__ import annotations

import nats as nats_py

from services.chassis.settings import NatsSettings
from tests.support.servers import S3


async def test_the_three_servers_of_the_stack_come_up(nats: NatsSettings, s3: S3, temporal: str) -> None:
    connection = await nats_py.connect(nats.url)
    assert (await connection.jetstream().account_info()).streams == 0
    await connection.close()
    assert s3.endpoint
    assert temporal
