"""Without its object store the service lives, says so, and refuses nobody for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.errors import NotFoundError, UnavailableError
from contracts.queries import CheckHealth
from services.chassis.settings import NatsSettings
from tests.support.servers import S3, free_ports
from tests.support.storage import User, run_storage, storage_settings


async def test_a_service_without_its_store_starts_and_says_what_is_missing(tmp_path: Path, nats: NatsSettings) -> None:
    (port,) = free_ports(1)
    settings = storage_settings(tmp_path, nats, S3(f"127.0.0.1:{port}", "admin", "secret"))
    async with run_storage(settings, healthy=False) as bus:
        health = await bus.ask(CheckHealth(), service="storage")
        assert (health.ready, health.checks["nats"], health.checks["database"]) == (False, "ok", "ok")
        assert health.checks["s3"].startswith("UnavailableError")

        user = User(bus)
        with pytest.raises(NotFoundError):
            await user.get("a")
        with pytest.raises(UnavailableError, match="object store"):
            await user.open("a", b"")


async def test_a_store_that_does_not_know_us_is_a_matter_for_operators(
    tmp_path: Path, nats: NatsSettings, s3: S3
) -> None:
    settings = storage_settings(tmp_path, nats, S3(s3.endpoint, s3.access_key, "wrong"))
    async with run_storage(settings, healthy=False) as bus:
        with pytest.raises(UnavailableError, match="SignatureDoesNotMatch"):
            await User(bus).open("a", b"")
