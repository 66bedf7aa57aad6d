"""The `local` backend: resident runners that take attempts from a JetStream queue."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace

import nats.errors
from nats.js.errors import NotFoundError as NoMessageError

from contracts.errors import UnavailableError
from contracts.model import now
from contracts.runs import ControlReply, ControlRun, RunnerCapacity, RunTask, run_name
from contracts.subjects import control_subject, task_subject
from services.chassis.bus import Bus
from services.chassis.errors import translated

from .base import Backend, Cancelled, Capability, Capacity, NativeJob, Observation

__all__ = ["LocalBackend"]

_PATIENCE = 1.0
"""Seconds that runners have to answer; the first that knows the attempt ends the wait."""

_CLOCKS = 10.0
"""Seconds that a runner's clock may differ from ours."""

_STREAM = "TASKS"


class LocalBackend(Backend):
    """Runners on this machine (or any that reach NATS), one queue for all of them."""

    kind = "local"
    capabilities = frozenset({Capability.ARRAYS, Capability.GPUS})
    is_prompt = True

    def __init__(self, *, name: str, bus: Bus) -> None:
        self.name = name
        self._bus = bus

    async def submit(self, task: RunTask) -> None:
        """Put the attempt into the queue."""
        run = run_name(task.workload_id, task.attempt)
        subject = task_subject(self.name, task.workload_id, task.attempt)
        await self._bus.publish(subject, task.model_dump_json().encode(), f"task-{run}")

    async def observe(self, job: NativeJob) -> Observation | None:
        """Ask the queue, then the runners; `UnavailableError` when no runner is there to say."""
        if await self._is_queued(job):
            return Observation.QUEUED
        replies = await self._ask(ControlRun(action="observe", workload_id=job.workload_id, attempt=job.attempt))
        for reply in replies:
            if reply.known:
                return Observation.ENDED if reply.ended else Observation.RUNNING
        return None

    async def cancel(self, job: NativeJob, tasks: str | None = None) -> Cancelled:
        """Take it out of the queue, and tell the runners, one of which may have it already."""
        if tasks is not None and await self._cancel_tasks(job, tasks):
            return Cancelled.ENDING
        was_queued = await self._is_queued(job)
        with translated("the task queue"):
            await self._bus.jetstream.purge_stream(
                _STREAM, subject=task_subject(self.name, job.workload_id, job.attempt)
            )
        try:
            replies = await self._ask(ControlRun(action="cancel", workload_id=job.workload_id, attempt=job.attempt))
        except UnavailableError:
            # Nobody had taken it, and nobody is there to have taken it just now.
            if was_queued:
                return Cancelled.GONE
            raise
        return Cancelled.ENDING if any(reply.known for reply in replies) else Cancelled.GONE

    async def _cancel_tasks(self, job: NativeJob, tasks: str) -> bool:
        """Have a runner end some tasks of a bundle; False if none has it, then it lies in the queue as a whole."""
        wish = ControlRun(action="cancel", workload_id=job.workload_id, attempt=job.attempt, tasks=tasks)
        try:
            return any(reply.known for reply in await self._ask(wish))
        except UnavailableError:
            return False

    async def capacity(self) -> Capacity:
        """Sum up the runners."""
        replies = await self._ask(ControlRun(action="capacity"))
        present = now()
        rooms = [reply.capacity for reply in replies if reply.capacity]
        off = tuple((reply.runner, (reply.at - present).total_seconds()) for reply in replies if reply.at)
        clocks = tuple((runner, seconds) for runner, seconds in off if abs(seconds) > _CLOCKS)
        return replace(_sum(rooms, await self._queued()), clocks_off=clocks)

    async def _is_queued(self, job: NativeJob) -> bool:
        try:
            with translated("the task queue"):
                await self._bus.jetstream.get_last_msg(
                    _STREAM, task_subject(self.name, job.workload_id, job.attempt), direct=True
                )
        except NoMessageError:
            return False
        return True

    async def _queued(self) -> int:
        with translated("the task queue"):
            info = await self._bus.jetstream.stream_info(_STREAM, subjects_filter=task_subject(self.name))
        return sum((info.state.subjects or {}).values())

    async def _ask(self, question: ControlRun) -> list[ControlReply]:
        """Ask all runners; stop at the first that knows, or when nobody more answers."""
        inbox = self._bus.connection.new_inbox()
        with translated("NATS"):
            subscription = await self._bus.connection.subscribe(inbox)
            await self._bus.connection.publish(
                control_subject(self.name), question.model_dump_json().encode(), reply=inbox
            )
        try:
            return await self._collect(subscription, question)
        finally:
            await subscription.unsubscribe()

    async def _collect(self, subscription: object, question: ControlRun) -> list[ControlReply]:
        replies: list[ControlReply] = []
        deadline = asyncio.get_running_loop().time() + _PATIENCE
        while (left := deadline - asyncio.get_running_loop().time()) > 0:
            try:
                message = await subscription.next_msg(timeout=left if not replies else min(left, 0.1))  # type: ignore[attr-defined]
            except nats.errors.TimeoutError:
                break
            if (message.headers or {}).get("Status") == "503":
                break
            replies.append(ControlReply.model_validate_json(message.data, extra="ignore"))
            if question.action != "capacity" and replies[-1].known:
                break
        if not replies:
            raise UnavailableError(f"no runner of {self.name!r} answers", retry_after=5.0)
        return replies


def _sum(rooms: list[RunnerCapacity], queued: int) -> Capacity:
    return Capacity(
        cpus=sum(room.cpus for room in rooms),
        cpus_free=sum(room.cpus_free for room in rooms),
        memory=sum(room.memory for room in rooms),
        memory_free=sum(room.memory_free for room in rooms),
        gpus=sum(room.gpus for room in rooms),
        gpus_free=sum(room.gpus_free for room in rooms),
        gpu_models=tuple(sorted({model for room in rooms for model in room.gpu_models})),
        gpus_free_of=tuple(sorted(_free_of(rooms).items())),
        running=sum(room.running for room in rooms),
        queued=queued + sum(room.waiting for room in rooms),
        largest_cpus=max((room.cpus for room in rooms), default=0.0),
        largest_memory=max((room.memory for room in rooms), default=0),
        largest_gpus=max((room.gpus for room in rooms), default=0),
    )


def _free_of(rooms: list[RunnerCapacity]) -> Counter[str]:
    """Return how many GPUs are free of each model, of those machines whose GPUs are all of one."""
    free: Counter[str] = Counter()
    for room in rooms:
        if len(set(room.gpu_models)) == 1:
            free[room.gpu_models[0]] += room.gpus_free
    return free
