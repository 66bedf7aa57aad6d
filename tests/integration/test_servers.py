"""The real servers come up and answer."""

from __future__ import annotations

from pathlib import Path

import nats as nats_py
import psutil
import pytest

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


_GROWN = 16 * 2**20
"""Bytes by which a server may have grown by its own work meanwhile."""


@pytest.mark.own_stores("it looks at the memory of its NATS")
async def test_a_server_that_gave_back_its_program_answers_as_before(tmp_path: Path) -> None:
    """How much is given back is the kernel's and the file system's affair, down to nothing; the rest holds anywhere."""
    server = NatsProcess(tmp_path)
    await server.start()
    try:
        assert server._process
        process = psutil.Process(server._process.pid)
        connection = await nats_py.connect(server.settings.url)
        stream = connection.jetstream()
        await stream.add_stream(name="KEPT", subjects=["kept.>"])
        await stream.publish("kept.before", b"before")
        before = process.memory_full_info().pss
        give_back_program(process.pid)
        assert process.memory_full_info().pss < before + _GROWN
        await stream.publish("kept.after", b"after")
        said = [(await stream.get_last_msg("KEPT", f"kept.{moment}")).data for moment in ("before", "after")]
        assert said == [b"before", b"after"]
        assert (await stream.account_info()).streams == 1
        await connection.close()
        assert server._process.returncode is None
    finally:
        await server.kill()
    assert not give_back_program(process.pid)
