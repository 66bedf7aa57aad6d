"""What operators see and mend: the site in one view, whatever is down, and messages that could not be handled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from contracts.commands import CancelWorkload, Command
from contracts.model import now
from contracts.operations import Finding, Severity
from contracts.spec import JobSpec
from contracts.states import Reason, WorkloadState
from contracts.workloads import Workload
from services.chassis.bus import Delivery
from services.chassis.doctor import Doctor, probe_outbox
from services.chassis.settings import NatsSettings
from services.chassis.unit import EVENT_SINK
from tests.support.chassis import OUTBOX, NatsProcess, cancel, open_bus, open_stand, read_events, send, until
from tests.support.databases import url_in
from tests.support.gateway import as_user, run_gateway

ROOT = as_user("root")
WORKLOAD = Workload(
    id="job-" + "0" * 32,
    owner="ann",
    spec=JobSpec(argv=["true"]),
    state=WorkloadState.RUNNING,
    reason=Reason.STARTED,
    created_at=now(),
    updated_at=now(),
)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsProcess]:
    process = NatsProcess(tmp_path)
    await process.start()
    yield process
    await process.kill()


class Clumsy:
    """A scheduler that fails at first."""

    def __init__(self) -> None:
        self.broken = True
        self.done: list[tuple[str, str]] = []

    async def handle(self, command: Command, delivery: Delivery) -> Workload:
        if self.broken:
            raise ZeroDivisionError("a bug of ours")
        self.done.append((command.target_id, delivery.message_id))
        return WORKLOAD


async def _parked(client: httpx.AsyncClient, count: int) -> list[dict[str, Any]]:
    async with asyncio.timeout(30):
        while True:
            items: list[dict[str, Any]] = (await client.get("/v1/admin/parked", headers=ROOT)).json()["items"]
            if len(items) == count:
                return items
            await asyncio.sleep(0.05)


async def test_parked_messages_are_looked_at_sent_again_and_dropped(nats: NatsSettings) -> None:
    clumsy = Clumsy()
    async with open_bus(nats, "scheduler", pauses=(0.01,)) as bus, run_gateway(nats) as (client, _):
        bus.handle_commands({CancelWorkload: clumsy.handle})
        await bus.start()
        sent = [cancel(message="enough ?X-Amz-Signature=abc") for _ in range(3)]
        for command in sent:
            await send(bus, command)
        items = await _parked(client, 3)
        assert {item["error"] for item in items} == {"ZeroDivisionError: a bug of ours"}
        assert {(item["service"], item["deliveries"]) for item in items} == {("scheduler", 5)}
        first = items[0]["sequence"]

        page = (await client.get("/v1/admin/parked?limit=2", headers=ROOT)).json()
        rest = (await client.get(f"/v1/admin/parked?cursor={page['next_cursor']}", headers=ROOT)).json()
        assert [item["sequence"] for item in page["items"] + rest["items"]] == [item["sequence"] for item in items]
        assert (await client.get("/v1/admin/parked?service=storage", headers=ROOT)).json()["items"] == []
        view = (await client.get(f"/v1/admin/parked/{first}", headers=ROOT)).json()
        assert view["envelope"]["id"] == items[0]["message_id"]
        assert view["body"]["message"] == "enough ?X-Amz-Signature=***"

        clumsy.broken = False
        assert (await client.post(f"/v1/admin/parked/{first}/resend", headers=ROOT)).json()["sequences"] == [first]
        await until(lambda: len(clumsy.done) == 1)
        assert clumsy.done[0][1] == items[0]["message_id"]
        assert (await client.get(f"/v1/admin/parked/{first}", headers=ROOT)).status_code == 404
        last = items[2]["sequence"]
        assert (await client.delete(f"/v1/admin/parked/{last}", headers=ROOT)).status_code == 200
        assert (await client.post("/v1/admin/parked/resend", headers=ROOT)).status_code == 422
        found = (await client.post("/v1/admin/parked/resend?subject=commands.", headers=ROOT)).json()
        assert found == {"sequences": [items[1]["sequence"]], "more": False}
        await until(lambda: len(clumsy.done) == 2)
        events = [event for event in await read_events(bus) if event.type.split(".")[-2] in {"resent", "dropped"}]
        assert [event.type.split(".")[-2] for event in events] == ["resent", "dropped", "resent"]
        assert {event.actor for event in events} == {"user:root"}


async def test_only_admins_of_the_site_are_let_in(nats: NatsSettings) -> None:
    async with run_gateway(nats) as (client, _):
        for method, path in (
            *(("GET", "/v1/admin/health"), ("GET", "/v1/admin/parked"), ("GET", "/v1/admin/parked/1")),
            *(("POST", "/v1/admin/parked/1/resend"), ("DELETE", "/v1/admin/parked/1"), ("DELETE", "/v1/admin/parked")),
        ):
            for user in ("ada", "bob", "eve", "aud"):
                assert (await client.request(method, path, headers=as_user(user))).status_code == 403
            assert (await client.request(method, path)).status_code == 401


@pytest.mark.own_stores("it kills its NATS")
async def test_the_view_comes_in_time_and_names_what_is_silent_and_waits(server: NatsProcess) -> None:
    async with run_gateway(server.settings) as (client, process):
        await send(process.bus, cancel())
        site = (await client.get("/v1/admin/health", headers=ROOT)).json()
        assert site["status"] == "failing"
        assert {one["part"] for one in site["findings"] if one["code"] == "service-silent"} == {
            "scheduler",
            "storage",
            "accounting",
        }
        assert all(one["remedy"] and one["what"] for one in site["findings"])
        await server.kill()
        async with asyncio.timeout(15):
            answer = await client.get("/v1/admin/health", headers=ROOT)
        assert answer.status_code == 200
        assert "nats-away" in {one["code"] for one in answer.json()["findings"]}


async def test_a_probe_that_hangs_or_breaks_costs_only_itself() -> None:
    finding = Finding(code="x", severity=Severity.NOTE, part="y", what="z")

    async def hang() -> list[Finding]:
        await asyncio.Event().wait()
        return []

    async def breaks() -> list[Finding]:
        raise ZeroDivisionError("oh")

    async def works() -> list[Finding]:
        return [finding]

    doctor = Doctor("storage", patience=0.05)
    for probe in (hang, breaks, works):
        doctor.add(probe.__name__, probe)
    found = await doctor.look()
    assert found.findings == [finding]
    assert found.probes == {"hang": "no answer within 0.05 s", "breaks": "ZeroDivisionError: oh", "works": "ok"}


async def test_an_outbox_that_is_behind_says_how_long_and_to_whom(tmp_path: Path) -> None:
    async with open_stand(url_in(tmp_path)) as stand:
        old = now() - timedelta(seconds=400)
        async with stand.engine.begin() as connection:
            row = {"id": "1", "sink": EVENT_SINK, "subject": "s", "payload": b"", "created_at": old}
            await connection.execute(OUTBOX.insert().values(row))
        (found,) = await probe_outbox("scheduler", stand.engine, OUTBOX)()
    assert (found.code, found.severity) == ("outbox-behind", Severity.CRITICAL)
    assert "rows=1" in found.evidence
