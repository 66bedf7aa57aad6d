"""A runner for tests: speaks the real protocol over the real NATS, but only pretends to run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import nats
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt

from contracts.model import now
from contracts.ranges import Ranges
from contracts.runs import (
    ControlReply,
    ControlRun,
    RunBundle,
    RunnerCapacity,
    RunReport,
    RunTask,
    Step,
    StepName,
    run_name,
)
from contracts.states import Reason
from contracts.subjects import control_subject, report_subject, task_subject
from contracts.tasks import TaskFact, TaskState
from contracts.workloads import Allocation, Usage
from services.chassis.settings import NatsSettings

__all__ = ["FakeRunner", "Outcome", "task_fact"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a pretended attempt goes; without an exit code it runs until it is cancelled."""

    exit_code: int | None = 0
    reason: Reason = Reason.EXITED
    message: str = ""


def task_fact(bundle: RunBundle, index: int, code: int | None, state: TaskState | None = None) -> TaskFact:
    """Say how a pretended task stands."""
    attempt = bundle.attempts.get(index, 1)
    if code is None:
        return TaskFact(index=index, attempt=attempt, state=TaskState.RUNNING, started_at=now())
    return TaskFact(
        index=index,
        attempt=attempt,
        state=state or (TaskState.FAILED if code else TaskState.SUCCEEDED),
        reason=Reason.CANCELED if state is TaskState.CANCELED else Reason.EXITED,
        exit_code=code,
        started_at=now(),
        finished_at=now(),
        usage=Usage(wall_seconds=0.5, cpu_seconds=0.25, memory_peak=1000),
    )


@dataclass
class FakeRunner:
    """Takes tasks of a backend, by default `local`; *decide* says how each goes."""

    settings: NatsSettings
    backend: str = field(default="local", kw_only=True)
    takes: bool = field(default=True, kw_only=True)
    """Whether it takes any; else it only answers, as one that is busy for ever."""
    decide: Callable[[RunTask], Outcome] = lambda _task: Outcome()
    decide_task: Callable[[RunTask, int], int | None] = lambda _task, _index: 0
    """The exit code of one task of a bundle; None lets it run until it is cancelled."""
    tasks: list[RunTask] = field(default_factory=list)
    running: dict[str, RunTask] = field(default_factory=dict)
    _numbers: dict[str, int] = field(default_factory=dict)

    async def start(self) -> None:
        """Connect and begin to take tasks."""
        self.connection: Client = await nats.connect(self.settings.url)
        self._js = self.connection.jetstream()
        name = f"runner-{self.backend}"
        # What a cluster answers to the first question of a connection may get lost: nobody there knows its inbox yet.
        patiently = AsyncRetrying(retry=retry_if_exception_type(nats.errors.TimeoutError), stop=stop_after_attempt(4))
        self._queue: JetStreamContext.PullSubscription = await patiently(
            self._js.pull_subscribe, task_subject(self.backend), durable=name, stream="TASKS"
        )
        await self.connection.subscribe(control_subject(self.backend), cb=self._control)
        self._taking = asyncio.create_task(self._take() if self.takes else asyncio.sleep(0))

    async def stop(self) -> None:
        """Go away, forgetting everything."""
        while not self._taking.done():
            # Once is not enough: in Python 3.11 `wait_for` can lose it when a message arrives at that very moment.
            self._taking.cancel()
            await asyncio.wait({self._taking}, timeout=0.5)
        await self.connection.close()

    async def _take(self) -> None:
        while True:
            try:
                # nats-py waits to its end for what a leader of a cluster let go of when it changed.
                messages = await self._queue.fetch(1, timeout=self.settings.longest_request)
            except nats.errors.TimeoutError:
                continue
            except nats.js.errors.ServiceUnavailableError:
                # Its server has not heard yet who leads the queue.
                await asyncio.sleep(0.05)
                continue
            for message in messages:
                task = RunTask.model_validate_json(message.data, extra="ignore")
                await message.ack()
                self.tasks.append(task)
                await self._run(task)

    async def _run_bundle(self, task: RunTask, bundle: RunBundle, room: Allocation) -> None:
        codes = {index: self.decide_task(task, index) for index in Ranges.parse(bundle.indices)}
        facts = [task_fact(bundle, index, code) for index, code in codes.items()]
        steps = [
            Step(step=StepName.RUNNING, at=now(), allocation=room),
            Step(step=StepName.TASKS, at=now(), allocation=room, tasks=facts),
        ]
        if None in codes.values():
            self.running[run_name(task.workload_id, task.attempt)] = task
        else:
            steps.append(Step(step=StepName.DONE, at=now(), reason=Reason.EXITED))
        await self.report(task, *steps)

    async def _run(self, task: RunTask) -> None:
        room = Allocation(backend=self.backend, node="test", cpus=task.cpus)
        if task.bundle is not None:
            await self._run_bundle(task, task.bundle, room)
            return
        running = Step(step=StepName.RUNNING, at=now(), allocation=room)
        outcome = self.decide(task)
        if outcome.reason is Reason.REFUSED:
            details = {"reason": outcome.reason, "message": outcome.message}
            await self.report(task, Step(step=StepName.DONE, at=now(), **details))
        elif outcome.exit_code is None:
            self.running[run_name(task.workload_id, task.attempt)] = task
            await self.report(task, running)
        else:
            await self.report(task, running, *self.end_of(outcome))

    @staticmethod
    def end_of(outcome: Outcome) -> tuple[Step, Step]:
        """Return the last two steps of an attempt."""
        usage = Usage(wall_seconds=0.5, cpu_seconds=0.25, memory_peak=1000)
        details = {"exit_code": outcome.exit_code, "reason": outcome.reason, "message": outcome.message}
        return (
            Step(step=StepName.EXITED, at=now(), usage=usage, **details),
            Step(step=StepName.DONE, at=now(), usage=usage, **details),
        )

    async def report(self, task: RunTask, *steps: Step, number: int | None = None) -> None:
        """Publish a report; a repeated *number* repeats an earlier one."""
        run = run_name(task.workload_id, task.attempt)
        self._numbers[run] = number or self._numbers.get(run, 0) + 1
        report = RunReport(
            workload_id=task.workload_id,
            attempt=task.attempt,
            number=self._numbers[run],
            runner="fake",
            native_id=run,
            steps=list(steps),
        )
        await self._js.publish(
            report_subject(task.workload_id, task.attempt),
            report.model_dump_json().encode(),
            headers={"Nats-Msg-Id": f"{run}-r{self._numbers[run]}"},
        )

    async def finish(self, task: RunTask) -> None:
        """Let what still runs of a bundle end as it should."""
        assert task.bundle is not None
        self.running.pop(run_name(task.workload_id, task.attempt))
        facts = [task_fact(task.bundle, index, 0) for index in Ranges.parse(task.bundle.indices)]
        done = Step(step=StepName.DONE, at=now(), reason=Reason.EXITED)
        await self.report(task, Step(step=StepName.TASKS, at=now(), tasks=facts), done)

    async def _end_bundle(self, task: RunTask, bundle: RunBundle, tasks: str | None) -> None:
        """End what still runs of a bundle, or only some of it; then nothing else runs in these tests."""
        for_ever = [index for index in Ranges.parse(bundle.indices) if self.decide_task(task, index) is None]
        wanted = Ranges.of(for_ever) if tasks is None else Ranges.parse(tasks)
        facts = [
            task_fact(bundle, index, 143 if index in wanted else 0, TaskState.CANCELED if index in wanted else None)
            for index in for_ever
        ]
        reason = Reason.CANCELED if tasks is None else Reason.EXITED
        await self.report(
            task, Step(step=StepName.TASKS, at=now(), tasks=facts), Step(step=StepName.DONE, at=now(), reason=reason)
        )

    async def _control(self, message: Msg) -> None:
        wish = ControlRun.model_validate_json(message.data)
        room = RunnerCapacity(cpus=4, cpus_free=4, memory=2**33, memory_free=2**33)
        if wish.action == "capacity":
            await message.respond(ControlReply(runner="fake", capacity=room).model_dump_json().encode())
            return
        run = run_name(wish.workload_id or "", wish.attempt or 0)
        task = self.running.pop(run, None) if wish.action == "cancel" else self.running.get(run)
        await message.respond(ControlReply(runner="fake", known=task is not None).model_dump_json().encode())
        if task is not None and task.bundle is not None and wish.action == "cancel":
            await self._end_bundle(task, task.bundle, wish.tasks)
        elif task is not None and wish.action == "cancel":
            await self.report(task, *self.end_of(Outcome(exit_code=143, reason=Reason.CANCELED)))
