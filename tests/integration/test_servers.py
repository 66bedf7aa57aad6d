"""The real servers come up and answer."""

from __future__ import annotations

from pathlib import Path

import nats as nats_py
import psutil

from deploy.local.slimming import give_back_program
from services.chassis.settings import NatsSettings
from tests.support.chassis import NatsProcess
from tests.support.servers import S3


async def test_the_three_servers_of_the_stack_come_up(nats: NatsSettings, s3: S3, temporal: str) -> None:
    connection = await nats_py.connect(nats.url)
    assert (await connection.jetstream().account_info()).streams == 0
    await connection.close()
    assert s3.endpoint
    assert temporal


async def test_a_server_that_gave_back_its_program_answers_as_before(tmp_path: Path) -> None:
    server = NatsProcess(tmp_path)
    await server.start()
    try:
        assert server._process
        process = psutil.Process(server._process.pid)
        before = process.memory_full_info().pss
        if give_back_program(process.pid):
            assert process.memory_full_info().pss < before
        connection = await nats_py.connect(server.settings.url)
        assert (await connection.jetstream().account_info()).streams == 0
        await connection.close()
    finally:
        await server.kill()
    assert not give_back_program(process.pid)
