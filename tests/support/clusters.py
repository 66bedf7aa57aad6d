"""A cluster in memory with its table and its keeper, and pilots that pretend; Temporal is not needed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import uuid4

from pydantic import SecretStr
from sqlalchemy import delete, insert, select, update

from contracts.envelope import Context
from contracts.ids import workload_id
from contracts.model import now
from contracts.runs import RunReport, RunTask, RunTicket, Step, StepName
from contracts.spec import JobSpec
from contracts.states import Reason, WorkloadState
from contracts.subjects import report_subject
from services.chassis.service import Frame, open_frame
from services.chassis.settings import ChassisSettings, NatsSettings
from services.chassis.tickets import Tickets
from services.scheduler.arrays.desk import ArrayDesk
from services.scheduler.backends.base import NativeJob
from services.scheduler.backends.cluster import ClusterBackend
from services.scheduler.backends.registry import Backends
from services.scheduler.natives import store
from services.scheduler.natives.adopting import Adopter
from services.scheduler.natives.cluster import Cluster, Means
from services.scheduler.natives.ending import Ender
from services.scheduler.natives.keeper import Keeper
from services.scheduler.natives.keepers import Keepers
from services.scheduler.natives.leasing import Keepership
from services.scheduler.natives.looking import Looker
from services.scheduler.natives.starting import Starter
from services.scheduler.natives.words import AttemptState
from services.scheduler.records import Record
from services.scheduler.settings import BackendSettings
from services.scheduler.tables import METADATA, native_attempts, natives, workloads
from services.scheduler.temporal import Signal
from services.scheduler.workflows.words import AttemptEnd

from .databases import bring_schema, database_url
from .engines import WORLDS, PlainLauncher, World

__all__ = ["CONTEXT", "Rig", "native_of", "open_rig", "task"]

CONTEXT = Context.start("service:scheduler")
_KEY = "k" * 40


def task(attempt: int = 1, **values: Any) -> RunTask:
    """Return an attempt of a job of Ada's."""
    given = {"workload_id": workload_id(), "owner": "ada", "argv": ["true"], "walltime": 60.0, "ticket": "t"}
    return RunTask.model_validate({**given, "attempt": attempt, **values})


def native_of(one: RunTask) -> NativeJob:
    """Return how the workflow calls an attempt."""
    return NativeJob(one.workload_id, one.attempt, f"{one.workload_id}.{one.attempt}")


class Rig:
    """One scheduler's part of one cluster. Another rig on the same folder is the same scheduler after a restart."""

    def __init__(self, frame: Frame, settings: BackendSettings, launcher: PlainLauncher, patience: float) -> None:
        self.frame = frame
        self.unit = frame.unit
        means = Means(unit=frame.unit, bus=frame.bus, launcher=launcher, data=Path(frame.settings.data), key=_KEY)
        self.cluster = Cluster(settings, means)
        self.backend = ClusterBackend(self.cluster)
        tickets = Tickets(SecretStr(_KEY), RunTicket)
        desk = ArrayDesk(unit=frame.unit, backends=Backends([self.backend]), tickets=tickets)
        self.ender = Ender(unit=frame.unit, bus=frame.bus, desk=desk)
        self.starter = Starter(self.cluster, self.ender)
        self.looker = Looker(self.cluster, self.ender, Adopter(self.cluster, desk, tickets))
        keepership = Keepership(unit=frame.unit, backend=settings.name, patience=patience)
        self.keeper = Keeper(self.cluster, self.starter, self.looker, keepership=keepership)

    @property
    def world(self) -> World:
        """Return the cluster."""
        return WORLDS[self.cluster.settings.part["world"]]

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Have the keeper at work, as in the scheduler."""
        backends = Backends([self.backend])
        keeping = asyncio.create_task(Keepers(backends=backends, bus=self.frame.bus, make=lambda _: self.keeper).run())
        try:
            yield
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)

    async def put(self, *tasks: RunTask) -> None:
        """Take attempts without waiting for what becomes of them, with rows of their workloads as they would be."""
        async with self.unit.begin(CONTEXT) as work:
            for one in tasks:
                await store.add(work.connection, self.cluster.name, one, now())
        await self.know(*tasks)

    async def started(self, *tasks: RunTask) -> list[str]:
        """Take attempts and have them started; returns the names of their native jobs."""
        await self.put(*tasks)
        await self.starter.start()
        return [await self.native_for(one) for one in tasks]

    async def looks(self, times: int = 3) -> None:
        """Look several times."""
        for _ in range(times):
            await self.looker.look()

    async def know(self, *tasks: RunTask, state: WorkloadState = WorkloadState.QUEUED) -> None:
        """Write the workloads of attempts."""
        async with self.unit.begin(CONTEXT) as work:
            for one in tasks:
                await work.connection.execute(insert(workloads).values(**_workload(one, self.cluster.name, state)))

    async def attempt(self, one: RunTask) -> Record:
        """Return the row of an attempt."""
        async with self.unit.reading() as connection:
            found = await store.find(connection, one.workload_id, one.attempt)
        assert found is not None
        return found

    async def natives(self) -> dict[str, Record]:
        """Return all rows of native jobs, by name."""
        async with self.unit.reading() as connection:
            rows = (await connection.execute(select(natives))).mappings().all()
        return {row["name"]: dict(row) for row in rows}

    async def attempts(self) -> Sequence[Any]:
        """Return all rows of attempts."""
        async with self.unit.reading() as connection:
            return (await connection.execute(select(native_attempts).order_by(native_attempts.c.number))).all()

    async def told(self) -> list[tuple[str, AttemptEnd]]:
        """Return what workflows were told of ends."""
        outbox = METADATA.tables["outbox"]
        statement = select(outbox.c.subject, outbox.c.payload).where(outbox.c.subject.startswith("signal/"))
        async with self.unit.reading() as connection:
            rows = (await connection.execute(statement.order_by(outbox.c.seq))).all()
        found = []
        for row in rows:
            said = Signal.model_validate_json(row.payload, extra="ignore")
            if said.ended is not None:
                found.append((row.subject.removeprefix("signal/"), said.ended))
        return found

    async def until(self, is_so: Callable[[], bool], seconds: float = 20) -> None:
        """Wait until something is so."""
        async with asyncio.timeout(seconds):
            while not is_so():  # noqa: ASYNC110 (a test may poll)
                await asyncio.sleep(0.02)

    # --- bad days -----------------------------------------------------------------------------------------------

    async def age(self, by: timedelta) -> None:
        """Let all that was done have been done so long ago."""
        async with self.unit.begin(CONTEXT) as work:
            for table in (natives, native_attempts):
                for row in (await work.connection.execute(select(table))).mappings().all():
                    [key] = table.primary_key.columns
                    older = {name: value - by for name, value in row.items() if isinstance(value, datetime)}
                    await work.connection.execute(update(table).where(key == row[key.name]).values(**older))

    async def die_at(self, step: str) -> None:
        """Have this process die while it starts or removes something: right before the engine is told, or after."""
        call = step.rpartition(" ")[2]
        told = getattr(self.cluster.engine, call)

        async def die(natives: Any) -> Any:
            if not step.startswith("before"):
                await told(natives)
            raise _DeadError

        with patch.object(self.cluster.engine, call, die), suppress(_DeadError):
            await self.starter.start()
            await self.looker.look()

    async def lose_rows(self) -> None:
        """Be restored from a backup in which nothing of the cluster is known."""
        async with self.unit.begin(CONTEXT) as work:
            for table in (natives, native_attempts):
                await work.connection.execute(delete(table))

    async def stand(self, one: RunTask, state: WorkloadState) -> None:
        """Let a workload be in a state."""
        async with self.unit.begin(CONTEXT) as work:
            which = workloads.c.id == one.workload_id
            await work.connection.execute(update(workloads).where(which).values(state=state.value))

    @contextmanager
    def no_writes(self) -> Iterator[None]:
        """Let nothing write meanwhile."""
        with patch.object(self.unit, "begin", side_effect=AssertionError("something is written")):
            yield

    # --- pilots -------------------------------------------------------------------------------------------------

    async def ask(self, name: str, incarnation: str = "one", asked: int = 1) -> RunTask | None:
        """Ask for the next task, as the pilot of a native job does."""
        async with self.unit.begin(CONTEXT) as work:
            return await store.hand_over(work.connection, name, incarnation, asked, now())

    async def to_end(self, name: str) -> list[tuple[str, str]]:
        """Return what a pilot is told to end, and why."""
        async with self.unit.reading() as connection:
            return [(row["workload_id"], row["ending"]) for row in await store.to_end(connection, name)]

    async def finish(self, one: RunTask, reason: Reason = Reason.EXITED) -> None:
        """Have the last word of a pilot read."""
        async with self.unit.begin(CONTEXT) as work:
            await self.backend.note_end(work.connection, native_of(one), reason)

    async def say(self, one: RunTask, step: StepName = StepName.DONE) -> None:
        """Say a word that nobody reads."""
        report = RunReport(
            workload_id=one.workload_id,
            attempt=one.attempt,
            number=1,
            runner="pilot",
            native_id="n",
            steps=[Step(step=step, at=now(), reason=Reason.EXITED, exit_code=0)],
        )
        subject = report_subject(one.workload_id, one.attempt)
        await self.frame.bus.publish(subject, report.model_dump_json().encode(), uuid4().hex)

    async def native_for(self, one: RunTask) -> str:
        """Return the name of the native job of an attempt."""
        row = await self.attempt(one)
        assert row["state"] != AttemptState.WAITING
        return str(row["native"])


def _workload(one: RunTask, backend: str, state: WorkloadState) -> Record:
    spec = JobSpec.model_validate({"argv": one.argv or ["true"]}).model_dump(mode="json")
    moment = now()
    return {
        "id": one.workload_id,
        "kind": "job",
        "owner": one.owner,
        "project": one.project,
        "labels": {},
        "spec": spec,
        "inputs": [],
        "state": state.value,
        "reason": "placed",
        "message": "",
        "attempt": one.attempt,
        "backend": backend,
        "native_id": f"{one.workload_id}.{one.attempt}",
        "revision": 2,
        "cancel_requested": False,
        "request_hash": "",
        "created_at": moment,
        "updated_at": moment,
        "outputs": [],
        "logs": [],
    }


class _DeadError(BaseException):
    """Nothing is done any more."""


@asynccontextmanager
async def open_rig(
    folder: Path, nats: NatsSettings, *, patience: float = 15.0, url: str = "", **settings: Any
) -> AsyncIterator[Rig]:
    """Open one; its world is the folder's. A database of its own needs a *url* and the schema."""
    if not url:
        url = database_url(folder, "scheduler") or f"sqlite+aiosqlite:///{folder / 'scheduler.db'}"
        await bring_schema("scheduler", url)
    chosen = {"name": "hpc", "kind": "memory", "memory": {"world": str(folder)}, **settings}
    chassis = ChassisSettings(data=folder, nats=nats)
    async with open_frame("scheduler", chassis, database_url=url, metadata=METADATA) as frame:
        yield Rig(frame, BackendSettings.model_validate(chosen), PlainLauncher(), patience)
