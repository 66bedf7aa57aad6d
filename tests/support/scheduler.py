"""A scheduler for tests: the real one, in this process, on a real NATS and a real Temporal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from contracts.backends import BackendView, ListBackends
from contracts.commands import (
    CancelWorkload,
    Command,
    HoldWorkload,
    RemoveWorkload,
    RetryWorkload,
    StartWorkload,
    SubmitWorkload,
)
from contracts.envelope import Context
from contracts.errors import UnavailableError
from contracts.explanations import Explanation
from contracts.ids import workload_id
from contracts.principals import Level, Principal, Role
from contracts.queries import (
    ExplainWorkload,
    FindWorkload,
    FreezeInputs,
    Frozen,
    GetHistory,
    GetWorkload,
    History,
    ListTasks,
    TaskPage,
)
from contracts.spec import JobSpec
from contracts.states import WorkloadState
from contracts.tasks import Task, TaskState
from contracts.workloads import Workload
from services.chassis.bus import Bus
from services.chassis.settings import NatsSettings, Server
from services.scheduler.main import main
from services.scheduler.settings import SchedulerSection, SchedulerSettings, TemporalSettings, Watch

from .chassis import open_bus
from .databases import bring_schema, database_url

__all__ = ["ADA", "ADMIN", "BOB", "EVE", "User", "freezing", "run_scheduler", "scheduler_settings"]

ADA = Principal(subject="ada", projects={"demo": Level.MEMBER})
BOB = Principal(subject="bob", projects={"demo": Level.MEMBER})
EVE = Principal(subject="eve", projects={"other": Level.MEMBER})
ADMIN = Principal(subject="root", roles=frozenset({Role.ADMIN}))


def scheduler_settings(folder: Path, nats: NatsSettings, temporal: str, **watch: float) -> SchedulerSettings:
    """Return settings for a scheduler of the test's own; two with one folder are the same scheduler restarted."""
    return SchedulerSettings(
        data=folder,
        nats=nats,
        ticket_key=SecretStr("k" * 40),
        scheduler=SchedulerSection(
            health=Server(port=0),
            database_url=database_url(folder, "scheduler"),
            temporal=TemporalSettings(address=temporal, task_queue=f"test-{folder.name}"),
            watch=Watch(**watch),
        ),
    )


@asynccontextmanager
async def run_scheduler(settings: SchedulerSettings) -> AsyncIterator[None]:
    """Run the scheduler in this process."""
    await bring_schema("scheduler", settings.database_url)
    serving = asyncio.create_task(main(settings))
    try:
        yield
    finally:
        # Python 3.11's `wait_for`, which nats-py waits by, loses a cancel that comes while what it awaits arrives.
        while not serving.done():
            serving.cancel()
            await asyncio.wait({serving}, timeout=20)
        await asyncio.gather(serving, return_exceptions=True)


@asynccontextmanager
async def freezing(nats: NatsSettings, freeze: Callable[[FreezeInputs], Awaitable[Frozen]]) -> AsyncIterator[None]:
    """Answer for storage when the scheduler asks for a job's inputs."""
    async with open_bus(nats, "storage") as bus:
        bus.answer_queries({FreezeInputs: freeze})
        await bus.start()
        yield


class User:
    """Somebody who sends what the gateway would send."""

    def __init__(self, bus: Bus, principal: Principal = ADA) -> None:
        self._bus = bus
        self._principal = principal

    async def order(self, command: Command) -> Any:
        """Send a command and wait for the workload."""
        context = Context.start(f"user:{self._principal.subject}")
        return await self._bus.order(command, context, wait=30, answer=Workload)

    async def submit(self, job: str | None = None, request_hash: str = "", **spec: Any) -> Workload:
        """Submit a job."""
        asked = JobSpec.model_validate({"argv": ["true"], **spec})
        answer: Workload = await self.order(
            SubmitWorkload(
                workload_id=job or workload_id(), principal=self._principal, spec=asked, request_hash=request_hash
            )
        )
        return answer

    async def cancel(self, job: str) -> Workload:
        """Cancel a job."""
        answer: Workload = await self.order(CancelWorkload(workload_id=job, principal=self._principal))
        return answer

    async def remove(self, job: str) -> Workload:
        """Have a job gone."""
        answer: Workload = await self.order(RemoveWorkload(workload_id=job, principal=self._principal))
        return answer

    async def find(self, number: int) -> Workload:
        """Look at the job of a number."""
        answer: Workload = await self._bus.ask(FindWorkload(principal=self._principal, number=number))
        return answer

    async def hold(self, job: str) -> Workload:
        """Hold a job that waits."""
        answer: Workload = await self.order(HoldWorkload(workload_id=job, principal=self._principal))
        return answer

    async def backends(self) -> list[BackendView]:
        """Look at the backends."""
        views: list[BackendView] = await self._bus.ask(ListBackends(principal=self._principal))
        return views

    async def explain(self, job: str) -> Explanation:
        """Ask why a job is where it is."""
        answer: Explanation = await self._bus.ask(ExplainWorkload(principal=self._principal, workload_id=job))
        return answer

    async def cancel_tasks(self, job: str, tasks: str) -> Workload:
        """Cancel some tasks of an array."""
        answer: Workload = await self.order(CancelWorkload(workload_id=job, principal=self._principal, tasks=tasks))
        return answer

    async def retry_failed(self, job: str) -> Workload:
        """Run the failed tasks of an array again."""
        command = RetryWorkload(workload_id=job, principal=self._principal, new_id=workload_id(), tasks="failed")
        answer: Workload = await self.order(command)
        return answer

    async def order_retry(self, job: str) -> Workload:
        """Run an ended job again."""
        command = RetryWorkload(workload_id=job, principal=self._principal, new_id=workload_id())
        answer: Workload = await self.order(command)
        return answer

    async def tasks(self, job: str, *states: TaskState, limit: int = 1000) -> list[Task]:
        """Look at the tasks of an array, page by page."""
        found: list[Task] = []
        cursor: str | None = None
        while True:
            query = ListTasks(
                principal=self._principal, workload_id=job, states=list(states), limit=limit, cursor=cursor
            )
            page: TaskPage = await self._bus.ask(query)
            found += page.items
            if (cursor := page.next_cursor) is None:
                return found

    async def until_counts(self, job: str, seconds: float = 30, **counts: int) -> Workload:
        """Wait until so many tasks stand where the names say."""
        async with asyncio.timeout(seconds):
            while True:
                with suppress(UnavailableError):
                    found = await self.get(job)
                    if found.tasks and all(getattr(found.tasks, name) == count for name, count in counts.items()):
                        return found
                await asyncio.sleep(0.02)

    async def start(self, job: str) -> Workload:
        """Start a held job."""
        answer: Workload = await self.order(StartWorkload(workload_id=job, principal=self._principal))
        return answer

    async def get(self, job: str) -> Workload:
        """Look at a job."""
        answer: Workload = await self._bus.ask(GetWorkload(principal=self._principal, workload_id=job))
        return answer

    async def history(self, job: str) -> History:
        """Look at its moves."""
        answer: History = await self._bus.ask(GetHistory(principal=self._principal, workload_id=job))
        return answer

    async def until(self, job: str, *states: WorkloadState, seconds: float = 30) -> Workload:
        """Wait until a job is in one of *states*, by default until it has ended."""
        async with asyncio.timeout(seconds):
            while True:
                with suppress(UnavailableError):  # a scheduler that is restarting
                    found = await self.get(job)
                    if found.state in states or (not states and found.state.is_terminal):
                        return found
                await asyncio.sleep(0.02)
