"""What the scheduler finds when it looks at its work: workflows that fail, a Temporal that knows nothing of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.worker import Worker

from contracts.envelope import Context
from contracts.ids import workload_id
from contracts.model import now
from contracts.operations import Severity
from contracts.spec import JobSpec
from contracts.workloads import Kind
from services.chassis.database import close_engine, make_engine
from services.chassis.unit import UnitOfWork, turn_for
from services.scheduler.backends.registry import Backends
from services.scheduler.entrance import new_row
from services.scheduler.probes import Probes
from services.scheduler.settings import TemporalSettings
from services.scheduler.tables import METADATA, workloads
from services.scheduler.temporal import TemporalSink, connect
from services.scheduler.worker import workflow_runner
from services.scheduler.workflows.job import JobWorkflow
from tests.support.backend import FakeBackend
from tests.support.databases import bring_empty, url_in

CONTEXT = Context.start("user:ada")


@asynccontextmanager
async def _unit(folder: Path) -> AsyncIterator[UnitOfWork]:
    await bring_empty(url_in(folder))
    engine = make_engine(url_in(folder))
    async with engine.begin() as connection:
        await connection.run_sync(METADATA.create_all)
    inbox, outbox = METADATA.tables["inbox"], METADATA.tables["outbox"]
    yield UnitOfWork(
        engine=engine, inbox=inbox, outbox=outbox, source="scheduler", announce=lambda _: None, turn=turn_for(engine)
    )
    await close_engine(engine)


async def _standing_still(unit: UnitOfWork) -> str:
    job = workload_id()
    row = new_row(job, "ada", JobSpec(argv=["true"]), [], Kind.JOB, "", None)
    async with unit.begin(CONTEXT) as work:
        await work.connection.execute(workloads.insert().values(row | {"updated_at": now() - timedelta(minutes=5)}))
    return job


@pytest.mark.asyncio(loop_scope="session")
async def test_a_workflow_that_fails_says_why_and_one_that_is_missing_is_named(temporal: str, tmp_path: Path) -> None:
    client = await connect(TemporalSettings(address=temporal))
    sink = TemporalSink(
        task_queue="probes", is_over=lambda _: asyncio.sleep(0, result=False), wake=lambda _: asyncio.sleep(0)
    )
    sink.use(client)
    async with _unit(tmp_path) as unit:
        missing, failing = await _standing_still(unit), await _standing_still(unit)
        backends = Backends([FakeBackend()])
        probes = Probes(unit=unit, backends=backends, sink=sink, namespace="shunter", failed_tasks=2)
        async with Worker(client, task_queue="probes", workflows=[JobWorkflow], workflow_runner=workflow_runner()):
            await client.start_workflow("of-another-release", id=failing, task_queue="probes")
            async with asyncio.timeout(60):
                while len(found := await probes.workflows()) < 2:  # noqa: ASYNC110 (only Temporal knows)
                    await asyncio.sleep(0.2)
        await client.get_workflow_handle(failing).terminate()
        assert await probes.runners() == []
    by_part = {finding.part: finding for finding in found}
    assert by_part[missing].code == "table-and-temporal-disagree"
    assert (by_part[failing].code, by_part[failing].severity) == ("workflow-failing", Severity.CRITICAL)
    assert "of-another-release is not registered" in by_part[failing].evidence[1]
    assert failing in by_part[failing].remedy
