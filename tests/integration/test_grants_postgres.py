"""Grants on PostgreSQL, as a site runs it in production: the migrated tables, and every question to them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.grants import Grant, Right, folder_resource, job_resource
from contracts.ids import workload_id
from contracts.model import now
from contracts.principals import Principal
from contracts.queries import ListWorkloads
from contracts.spec import JobSpec
from contracts.workloads import Kind
from services.chassis.database import close_engine, make_engine
from services.chassis.migrations import ensure_schema
from services.chassis.policy import Power, scope_of
from services.scheduler import rights, store
from services.scheduler.entrance import new_row
from services.scheduler.tables import workloads
from services.storage.rights import GRANTS, owner_for, ranges_for
from tests.support.postgres import needs_postgres, run_postgres

pytestmark = needs_postgres

BOB = Principal(subject="bob")


@asynccontextmanager
async def _migrated(service: str) -> AsyncIterator[AsyncConnection]:
    async with run_postgres() as url:
        await ensure_schema(service, url)
        engine = make_engine(url)
        async with engine.connect() as connection:
            yield connection
        await close_engine(engine)


def _grant(resource: str, **more: object) -> Grant:
    known = {"resource": resource, "owner": "ann", "grantee": "user:bob", "right": Right.READ, "created_by": "ann"}
    return Grant.model_validate({**known, "created_at": now(), **more})


async def test_jobs_are_shared_and_listed_on_postgresql() -> None:
    job = workload_id()
    query = ListWorkloads(principal=BOB)
    async with _migrated("scheduler") as connection:
        await connection.execute(
            insert(workloads), [new_row(job, "ann", JobSpec(argv=["true"]), [], Kind.JOB, "", None)]
        )
        assert await rights.shared_words(connection, query.principal, shared=query.shared) == []
        await rights.write_grant(connection, job, _grant(job_resource(job)))
        await rights.write_grant(connection, job, _grant(job_resource(job), right=Right.CONTROL))
        words = await rights.shared_words(connection, query.principal, shared=query.shared)
        shown, more = await store.page(connection, query, scope_of(BOB), None, words)
        assert ([row["id"] for row in shown], more) == ([job], False)
        found = await store.find(connection, job)
        assert (await rights.require_on(connection, found, BOB, job, Power.CONTROL))["id"] == job
        page = await rights.GRANTS.page_received(connection, BOB, at=now(), limit=1, cursor=None)
        assert [(grant.job_id, grant.right) for grant in page.items] == [(job, Right.CONTROL)]
        assert await rights.GRANTS.drop(connection, "ann", job, "user:bob")


async def test_folders_are_shared_and_listed_on_postgresql() -> None:
    async with _migrated("storage") as connection:
        for folder in ("b", "a/x", "a-b", "a"):
            await GRANTS.put(connection, _grant(folder_resource(folder)), folder)
        over = now() - timedelta(hours=1)
        await GRANTS.put(connection, _grant(folder_resource("c"), expires_at=over), "c")
        assert await ranges_for(connection, BOB, "ann", "") == [("a-b/", "a-b0"), ("a/", "a0"), ("b/", "b0")]
        assert await owner_for(connection, BOB, "ann", "a/x/y") == "ann"
        await GRANTS.require_room(connection, "ann", "c", now())
        page = await GRANTS.page_given(connection, "ann", None, grantees=None, at=now(), limit=3, cursor=None)
        assert (len(page.items), page.next_cursor is None) == (3, False)
