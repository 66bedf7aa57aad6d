"""A runner under test, what it is given, and what it says."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import nats as nats_py
from nats.aio.client import Client
from nats.js import JetStreamContext

from contracts.ids import workload_id
from contracts.runs import ControlReply, ControlRun, LogChunk, RunReport, RunTask, Step, StepName
from contracts.subjects import control_subject, log_subject, report_subject, task_subject
from services.chassis.settings import NatsSettings
from services.chassis.streams import declare_streams
from services.scheduler.runner import settings as runner_settings
from services.scheduler.runner.census import Census
from services.scheduler.runner.gpus import Gpus
from services.scheduler.runner.main import serve
from services.scheduler.runner.room import Gpu
from tests.support.servers import free_ports

__all__ = ["Desk", "FakeGpus", "a_task", "open_desk", "runner_process", "running"]

_PATIENCE = 20.0


def a_task(*argv: str, **changes: Any) -> RunTask:
    """Return a valid task; the test names only what matters."""
    values: dict[str, Any] = {
        "workload_id": workload_id(),
        "attempt": 1,
        "owner": "ada",
        "argv": list(argv) or None,
        "walltime": 60.0,
        "ticket": "ticket",
    }
    return RunTask(**(values | changes))


class FakeGpus(Gpus):
    """GPUs that are not there, always half busy."""

    def __init__(self, *gpus: Gpu) -> None:
        self._gpus = gpus

    def list(self) -> tuple[Gpu, ...]:
        """Return them."""
        return self._gpus

    def busy(self, indices: Any) -> float:
        """Return half of each."""
        return 0.5 * len(indices)

    def memory_used(self, indices: Any) -> int:
        """Return the same, always."""
        return 2**20 * len(indices)


def _settings(nats: NatsSettings, work: Path, **section: Any) -> runner_settings.RunnerSettings:
    (port,) = free_ports(1)
    values = {"work": work, "health": {"port": port}, "name": "runner-1", "cpus": 4, "grace": 1.0, **section}
    drain = values.pop("drain", 5.0)
    return runner_settings.RunnerSettings(
        nats=runner_settings.NatsSettings(url=nats.url),
        log=runner_settings.LogSettings(level="error"),
        drain=drain,
        runner=runner_settings.RunnerSection(**values),
    )


@asynccontextmanager
async def running(
    nats: NatsSettings, work: Path, *, gpus: Gpus | None = None, **section: Any
) -> AsyncIterator[runner_settings.RunnerSettings]:
    """Run a runner in this process while the block runs."""
    settings = _settings(nats, work, **section)
    stop = asyncio.Event()
    serving = asyncio.create_task(serve(settings, stop, gpus=gpus))
    try:
        await _until_it_listens(settings.runner.health.port)
        yield settings
    finally:
        stop.set()
        await serving


async def _until_it_listens(port: int) -> None:
    async with asyncio.timeout(_PATIENCE):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.01)
            else:
                writer.close()
                await writer.wait_closed()
                return


@contextmanager
def runner_process(
    nats: NatsSettings, work: Path, **environment: str
) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Give a function that starts a runner as a program; all that it started are killed at the end."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        (port,) = free_ports(1)
        env = {
            **os.environ,
            "SHUNTER_NATS__URL": nats.url,
            "SHUNTER_LOG__LEVEL": "info",
            "SHUNTER_RUNNER": json.dumps({"work": str(work), "health": {"port": port}, "name": "runner-1", "cpus": 4}),
            **environment,
        }
        argv = [sys.executable, "-m", "services.scheduler.runner.main"]
        process = subprocess.Popen(argv, env=env)
        started.append(process)
        return process

    try:
        yield start
    finally:
        for process in started:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()
        _kill_runs(work)


def _kill_runs(work: Path) -> None:
    """Leave nothing behind, however the test went."""
    for folder in work.glob("job-*") if work.exists() else ():
        for member in Census().members(folder.name):
            with suppress(ProcessLookupError):
                os.kill(member.proc.pid, signal.SIGKILL)


class Desk:
    """The scheduler's side: hands out tasks, reads reports and logs."""

    def __init__(self, connection: Client, reports: asyncio.Queue[RunReport]) -> None:
        self.connection = connection
        self.reports: list[RunReport] = []
        self._incoming = reports

    @property
    def jetstream(self) -> JetStreamContext:
        """Return the streams."""
        return self.connection.jetstream()

    async def give(self, task: RunTask, backend: str = "local") -> None:
        """Publish a task."""
        await self.jetstream.publish(
            task_subject(backend, task.workload_id, task.attempt), task.model_dump_json().encode()
        )

    async def next_report(self) -> RunReport:
        """Wait for the next report of anybody."""
        async with asyncio.timeout(_PATIENCE):
            report = await self._incoming.get()
        self.reports.append(report)
        return report

    def steps(self, task: RunTask) -> list[Step]:
        """Return what was reported of a task so far."""
        return [
            step
            for report in self.reports
            if (report.workload_id, report.attempt) == (task.workload_id, task.attempt)
            for step in report.steps
        ]

    async def until(self, task: RunTask, step: StepName) -> Step:
        """Wait until a task was reported to be so far."""
        while True:
            for seen in self.steps(task):
                if seen.step is step:
                    return seen
            await self.next_report()

    async def run(self, task: RunTask) -> Step:
        """Give a task and wait for its last step."""
        await self.give(task)
        return await self.until(task, StepName.DONE)

    async def control(self, action: Any, task: RunTask | None = None, backend: str = "local") -> ControlReply:
        """Ask the runner."""
        asked = ControlRun(
            action=action, workload_id=task.workload_id if task else None, attempt=task.attempt if task else None
        )
        async with asyncio.timeout(_PATIENCE):
            while True:
                try:
                    message = await self.connection.request(
                        control_subject(backend), asked.model_dump_json().encode(), timeout=5
                    )
                except nats_py.errors.NoRespondersError:
                    await asyncio.sleep(0.02)
                else:
                    return ControlReply.model_validate_json(message.data)

    async def log(self, task: RunTask, stream: str) -> tuple[bytes, bool]:
        """Return what was published of an output stream, checked to be without gap, and whether it was closed."""
        subject = log_subject(task.workload_id, task.attempt, stream)
        try:
            last = await self.jetstream.get_last_msg("LOGS", subject)
        except nats_py.js.errors.NotFoundError:
            return b"", False
        subscription = await self.jetstream.subscribe(subject, stream="LOGS", ordered_consumer=True)
        body = bytearray()
        closed = False
        sequence = 0
        while sequence < (last.seq or 0):
            message = await subscription.next_msg(timeout=5)
            headers = message.headers or {}
            assert int(headers[LogChunk.OFFSET]) == len(body), "a gap or an overlap"
            assert not closed, "something after the end"
            body += message.data
            closed = headers.get(LogChunk.END) == "1"
            sequence = message.metadata.sequence.stream
        await subscription.unsubscribe()
        return bytes(body), closed


@asynccontextmanager
async def open_desk(nats: NatsSettings) -> AsyncIterator[Desk]:
    """Declare the streams and read all reports, those that lie there too."""
    connection = await nats_py.connect(nats.url)
    await declare_streams(connection.jetstream())
    incoming: asyncio.Queue[RunReport] = asyncio.Queue()

    async def take(message: Any) -> None:
        incoming.put_nowait(RunReport.model_validate_json(message.data))

    subscription = await connection.jetstream().subscribe(
        report_subject(), stream="RUNS", ordered_consumer=True, cb=take
    )
    try:
        yield Desk(connection, incoming)
    finally:
        await subscription.unsubscribe()
        await connection.close()
