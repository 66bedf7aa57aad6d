"""The unit of work, the relay and the migrations on PostgreSQL, as a site runs them in production."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, text, update

from contracts.envelope import Context
from contracts.errors import UnavailableError
from contracts.ids import workload_id
from services.chassis import database
from services.chassis.database import close_engine, make_engine
from services.chassis.migrations import ensure_schema, newest_revision
from services.chassis.relay import Relay
from services.chassis.settings import NatsSettings
from tests.support.chassis import INBOX, NOTES, OUTBOX, open_bus, open_stand, read_events, requested
from tests.support.postgres import needs_postgres, run_postgres

pytestmark = needs_postgres

ANN = Context.start("user:ann")


@pytest.fixture
async def postgres() -> AsyncIterator[str]:
    async with run_postgres() as url:
        yield url


async def test_messages_are_handled_and_said_once_on_postgresql(postgres: str, nats: NatsSettings) -> None:
    target = workload_id()
    async with open_stand(postgres) as stand, open_bus(nats, "scheduler") as bus:

        async def handle(number: int) -> bool:
            async with stand.unit.handling(f"m-{number % 10}", ANN) as work:
                if work is None:
                    return False
                await work.connection.execute(insert(NOTES).values(text=str(number)))
                work.send(requested(target, revision=number % 10 + 1))
                return True

        # Ten messages, each delivered three times, all at once.
        assert sum(await asyncio.gather(*(handle(number) for number in range(30)))) == 10
        assert await stand.count(NOTES) == await stand.count(INBOX) == await stand.count(OUTBOX) == 10

        after_crash = Relay(engine=stand.engine, outbox=OUTBOX, service="scheduler", turn=stand.turn)
        await after_crash.start({"events": bus.send_row})
        await after_crash.stop()
        assert await after_crash.count_unsent() == 0
        async with stand.unit.reading() as connection:
            rows = (await connection.execute(select(OUTBOX.c.id, OUTBOX.c.sent_at).order_by(OUTBOX.c.seq))).all()
        assert [event.id for event in await read_events(bus)] == [row.id for row in rows]
        assert all(row.sent_at and row.sent_at.tzinfo for row in rows)

        async with stand.unit.begin(ANN) as work:
            await work.connection.execute(update(OUTBOX).values(sent_at=None))
        again = Relay(engine=stand.engine, outbox=OUTBOX, service="scheduler", turn=stand.turn)
        await again.start({"events": bus.send_row})
        await again.stop()
        assert len(await read_events(bus)) == 10


async def test_what_fails_leaves_nothing_on_postgresql(postgres: str) -> None:
    async with open_stand(postgres) as stand:

        async def fail() -> None:
            async with stand.unit.handling("m-1", ANN) as work:
                assert work
                work.send(requested())
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fail()
        assert await stand.count(INBOX) == await stand.count(OUTBOX) == 0


@pytest.mark.parametrize("service", ["accounting", "scheduler", "storage"])
async def test_two_replicas_bring_a_fresh_postgresql_to_the_present_schema(postgres: str, service: str) -> None:
    if not (Path(__file__).parents[2] / "services" / service / "migrations").exists():
        pytest.skip("the service keeps no tables")
    await asyncio.gather(ensure_schema(service, postgres), ensure_schema(service, postgres))
    async with open_stand(postgres) as stand, stand.unit.reading() as connection:
        present = (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar_one()
    assert present == newest_revision(service)


@pytest.mark.parametrize(("patience", "takes"), [(30.0, 0.3), (0.05, 3.0)])
async def test_a_connection_that_is_in_use_is_closed_too_when_a_service_stops(
    postgres: str, monkeypatch: pytest.MonkeyPatch, patience: float, takes: float
) -> None:
    monkeypatch.setattr(database, "_IN_USE", patience)
    engine, began, ended = make_engine(postgres), asyncio.Event(), asyncio.Event()
    held: list[Any] = []

    async def use() -> None:
        async with engine.connect() as connection:
            held.append((await connection.get_raw_connection()).driver_connection)
            began.set()
            await connection.execute(text(f"SELECT pg_sleep({takes})"))
            ended.set()

    using = asyncio.create_task(use())
    await began.wait()
    await close_engine(engine)
    assert ended.is_set() is (patience > takes)
    await using
    assert [connection.is_closed() for connection in held] == [True]


async def test_after_its_stop_a_service_opens_no_connection(postgres: str) -> None:
    engine = make_engine(postgres)
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))
    await close_engine(engine)
    with pytest.raises(UnavailableError, match="has stopped"):
        async with engine.connect():
            pass
