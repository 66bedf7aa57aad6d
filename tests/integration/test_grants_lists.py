"""Lists of jobs when some are shared: ten thousand jobs, and no statement that looks at all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import pytest
import pytest_asyncio
from sqlalchemy import event, insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from contracts.grants import Grant, Right, job_resource
from contracts.ids import workload_id
from contracts.model import now
from contracts.principals import Level, Principal
from contracts.queries import ListWorkloads
from contracts.spec import JobSpec
from contracts.workloads import Kind
from services.chassis.database import close_engine, make_engine
from services.chassis.policy import scope_of
from services.scheduler import store
from services.scheduler.entrance import new_row
from services.scheduler.rights import require_on, shared_words, write_grant
from services.scheduler.tables import METADATA, workloads

_JOBS = 10_000
_SPEC = JobSpec(argv=["true"])
_IDS = [workload_id() for _ in range(_JOBS)]

EVE = Principal(subject="eve", projects={"optics": Level.MEMBER})
ZOE = Principal(subject="zoe", projects={"lasers": Level.MEMBER})

pytestmark = pytest.mark.own_stores("it reads how SQLite would answer")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AsyncEngine]:
    """Ten thousand jobs of 100 users; some are shared with Eve, none with Zoe."""
    folder: Path = tmp_path_factory.mktemp("lists")
    engine = make_engine(f"sqlite+aiosqlite:///{folder / 'scheduler.db'}")
    async with engine.begin() as connection:
        await connection.run_sync(METADATA.create_all)
        rows = [new_row(one, f"user{n % 100}", _SPEC, [], Kind.JOB, "", None) for n, one in enumerate(_IDS)]
        for start in range(0, _JOBS, 500):
            await connection.execute(insert(workloads), rows[start : start + 500])
        for number, one in enumerate(_IDS[::10]):
            await write_grant(connection, one, _grant(one, ("user:eve", "project:optics")[number % 2]))
    yield engine
    await close_engine(engine)


def _grant(job: str, grantee: str) -> Grant:
    owner, resource = f"user{_IDS.index(job) % 100}", job_resource(job)
    moment = now()
    return Grant(resource=resource, owner=owner, grantee=grantee, right=Right.READ, created_at=moment, created_by="ann")


class _Statements:
    """The statements that went over a connection."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine.sync_engine
        self.said: list[tuple[str, Any]] = []

    def __enter__(self) -> Self:
        event.listen(self._engine, "before_cursor_execute", self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        event.remove(self._engine, "before_cursor_execute", self._hear)

    def _hear(self, *heard: Any) -> None:
        _connection, _cursor, statement, values, *_ = heard
        self.said.append((statement, values))

    async def plans(self, connection: AsyncConnection) -> list[str]:
        """Return how SQLite would answer each."""
        found = []
        for statement, values in list(self.said):
            rows = (await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)).mappings()
            found.append("; ".join(row["detail"] for row in rows))
        return found


async def _page(connection: AsyncConnection, who: Principal, **asked: Any) -> list[str]:
    query = ListWorkloads(principal=who, **asked)
    words = await shared_words(connection, query.principal, shared=query.shared)
    shown, _ = await store.page(connection, query, scope_of(who), None, words)
    return [row["id"] for row in shown]


@pytest.mark.asyncio(loop_scope="module")
async def test_who_has_no_grants_pays_one_look_into_an_index(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        with _Statements(engine) as statements:
            assert len(await _page(connection, Principal(subject="user7"))) == 50
            assert await _page(connection, ZOE) == []
        plans = await statements.plans(connection)
    look, sizes, rows, *_ = plans
    assert "ix_grants" in look
    assert sizes == "SEARCH workloads USING INDEX ix_workloads_owner_seq (owner=?)"
    assert "SEARCH workloads USING INTEGER PRIMARY KEY" in rows
    assert len(plans) == 5
    assert not any("SCAN" in plan for plan in plans)


@pytest.mark.asyncio(loop_scope="module")
async def test_who_has_grants_gets_them_by_index_and_in_order(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        with _Statements(engine) as statements:
            found = await _page(connection, EVE, limit=20)
            assert await _page(connection, EVE, limit=20, shared=True) == found
        plans = await statements.plans(connection)
    assert found == _IDS[::10][::-1][:20]
    assert not any("SCAN" in plan or "TEMP B-TREE FOR ORDER" in plan for plan in plans), plans
    joined = [plan for plan in plans if "grants" in plan and "workloads" in plan]
    assert len(joined) == 4
    assert all("grants USING INDEX ix_grants_place (grantee=?" in plan for plan in joined)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_look_at_one_s_own_job_asks_for_no_grants(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        with _Statements(engine) as statements:
            row = await store.find(connection, _IDS[7])
            await require_on(connection, row, Principal(subject="user7"), _IDS[7])
            assert len(statements.said) == 1
            shared = await store.find(connection, _IDS[10])
            await require_on(connection, shared, EVE, _IDS[10])
        plans = await statements.plans(connection)
    assert len(plans) == 3
    assert "ix_grants_thing" in plans[2]


@pytest.mark.asyncio(loop_scope="module")
async def test_what_has_expired_is_in_no_list(engine: AsyncEngine) -> None:
    grant = _grant(_IDS[-1], "user:mal").model_copy(update={"expires_at": now() + timedelta(hours=1)})
    mal = Principal(subject="mal")
    async with engine.connect() as connection:
        await write_grant(connection, _IDS[-1], grant)
        assert await _page(connection, mal) == [_IDS[-1]]
        await write_grant(connection, _IDS[-1], grant.model_copy(update={"expires_at": now() - timedelta(hours=1)}))
        assert await _page(connection, mal) == []
        await connection.rollback()
