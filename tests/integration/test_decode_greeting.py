"""A worker that logs in counts as being there: jobs wait for it before it has asked for any."""

from __future__ import annotations

from pydantic import JsonValue

from contracts.leases import Leases, TakeLeases
from services.chassis.bus import Delivery
from services.chassis.settings import NatsSettings
from tests.support.chassis import open_bus, until
from tests.support.gateway import run_gateway

_PASSWORD = "a-good-Passw0rd"


async def test_a_worker_who_logs_in_is_there_and_a_user_is_not(nats: NatsSettings) -> None:
    there: list[tuple[str, int]] = []

    async def take(command: TakeLeases, _delivery: Delivery) -> Leases:
        there.append((command.principal.subject, command.limit))
        return Leases(items=[])

    settings: dict[str, JsonValue] = {"sign_up": True, "environments": {"local": {"backends": ["pull", "local"]}}}
    async with (
        open_bus(nats, "scheduler") as scheduler,
        run_gateway(nats, dialects={"decode": settings}) as (client, _),
    ):
        scheduler.handle_commands({TakeLeases: take})
        await scheduler.start()
        for name, group in (("user@example.org", "users"), ("worker@example.org", "workers")):
            known = {"username": name, "password": _PASSWORD}
            (await client.post("/decode/user", data={**known, "groups": group})).raise_for_status()
            assert (await client.post("/decode/token", data=known)).status_code == 201
        await until(lambda: bool(there))
        assert there == [("worker@example.org", 0)]
