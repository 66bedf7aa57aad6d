"""What a pilot makes of bad days: it goes on trying, says each thing once, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from contracts.runs import RunTask, StepName
from contracts.states import Reason
from services.chassis.settings import NatsSettings
from tests.support.far_network import forwarding, forwarding_there, open_far_network
from tests.support.fault_proxy import FaultProxy, Mode, run_proxy
from tests.support.pilots import Cluster, Work, old_python, open_work, pilots
from tests.support.run_storage import RunStorage, run_storage
from tests.support.runners import a_task
from tests.support.servers import S3

pytestmark = pytest.mark.own_stores("its NATS lets in whoever comes")

_COUNT = "i=0; while [ $i -lt {count} ]; do echo $i; i=$((i+1)); sleep 0.1; done"


@pytest.fixture
def proxy(nats: NatsSettings) -> Iterator[FaultProxy]:
    with run_proxy() as found:
        found.add("nats", int(nats.url.rpartition(":")[2]))
        yield found


@pytest_asyncio.fixture
async def work(nats: NatsSettings) -> AsyncIterator[Work]:
    async with open_work(nats) as found:
        yield found


@pytest_asyncio.fixture
async def storage(work: Work, s3: S3) -> AsyncIterator[RunStorage]:
    async with run_storage(work.connection, s3) as found:
        yield found


@pytest.fixture
def cluster(proxy: FaultProxy, tmp_path: Path) -> Iterator[Cluster]:
    with pilots(tmp_path, f"nats://127.0.0.1:{proxy.links['nats'].port}", old_python()) as found:
        yield found


def _gone(task: RunTask) -> bool:
    """Say whether no process of a run is left on this machine."""
    mark = f"SHUNTER_RUN={task.workload_id}.{task.attempt}".encode()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes():
                return False
        except OSError:
            continue
    return True


async def _begin(work: Work, cluster: Cluster, task: RunTask) -> subprocess.Popen[bytes]:
    work.tasks.append(task)
    process = cluster.start()
    await work.desk.until(task, StepName.RUNNING)
    return process


async def _until_gone(task: RunTask) -> None:
    async with asyncio.timeout(10):
        while not _gone(task):  # noqa: ASYNC110 (processes tell nobody)
            await asyncio.sleep(0.05)


def _pilot_of(process: subprocess.Popen[bytes]) -> psutil.Process:
    """Return the process that does the work: the child of the guardian."""
    return psutil.Process(process.pid).children()[0]


async def test_it_waits_for_nats_and_for_the_scheduler(work: Work, cluster: Cluster, proxy: FaultProxy) -> None:
    proxy.set("nats", Mode.CUT)
    task = a_task("true")
    work.tasks.append(task)
    process = cluster.start()
    await asyncio.sleep(1.0)
    work.silent = 1
    proxy.set("nats", Mode.OPEN)
    assert (await work.desk.until(task, StepName.DONE)).exit_code == 0
    assert await cluster.ended(process) == 0
    assert [asked.number for asked in work.asked] == [1]


async def test_a_cut_connection_loses_and_doubles_nothing(
    work: Work, cluster: Cluster, proxy: FaultProxy, storage: RunStorage
) -> None:
    task = a_task(script=_COUNT.format(count=40))
    process = await _begin(work, cluster, task)
    for mode in (Mode.CUT, Mode.HANG, Mode.CUT):
        proxy.set("nats", mode)
        await asyncio.sleep(0.6)
        proxy.set("nats", Mode.OPEN)
        await asyncio.sleep(0.4)
    done = await work.desk.until(task, StepName.DONE)
    assert (done.reason, done.exit_code) == (Reason.EXITED, 0)
    assert await cluster.ended(process) == 0
    wanted = "".join(f"{number}\n" for number in range(40)).encode()
    assert await work.desk.log(task, "stdout") == (wanted, True)
    assert storage.read("logs/1/stdout") == wanted
    numbers = [report.number for report in work.desk.reports]
    assert numbers == sorted(set(numbers))


async def test_storage_that_is_away_is_waited_for(work: Work, cluster: Cluster, storage: RunStorage) -> None:
    storage.away = 4
    task = a_task("cat", "data", inputs=[storage.add("data", b"text")])
    process = await _begin(work, cluster, task)
    assert (await work.desk.until(task, StepName.DONE)).reason is Reason.EXITED
    assert await cluster.ended(process) == 0
    assert storage.read("logs/1/stdout") == b"text"


async def test_a_native_job_that_is_over_ends_what_it_runs(work: Work, cluster: Cluster, proxy: FaultProxy) -> None:
    task = a_task("sleep", "60")
    process = await _begin(work, cluster, task)
    work.over = True
    proxy.reset("nats")  # it comes again, and is told
    assert await cluster.ended(process) == 94
    assert _gone(task)
    assert StepName.DONE not in [step.step for step in work.desk.steps(task)]


async def test_a_native_job_that_is_started_again_gets_nothing(work: Work, cluster: Cluster) -> None:
    task = a_task("sleep", "60")
    first = await _begin(work, cluster, task)
    second = cluster.start()
    assert await cluster.ended(second) == 94
    assert not _gone(task)
    first.send_signal(signal.SIGTERM)
    assert (await work.desk.until(task, StepName.DONE)).reason is Reason.INTERRUPTED
    assert await cluster.ended(first) == 0


async def test_a_cluster_that_wants_its_room_back_gets_it(work: Work, cluster: Cluster, storage: RunStorage) -> None:
    task = a_task(script="trap '' TERM; echo said; (setsid sleep 60 &) ; sleep 60; sleep 60")
    process = await _begin(work, cluster, task)
    async with asyncio.timeout(20):
        while (await work.desk.log(task, "stdout"))[0] != b"said\n":  # noqa: ASYNC110 (a test may poll)
            await asyncio.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    done = await work.desk.until(task, StepName.DONE)
    assert (done.reason, done.message) == (Reason.INTERRUPTED, "the cluster ended its job")
    assert await cluster.ended(process) == 0
    assert _gone(task)
    assert storage.read("logs/1/stdout") == b"said\n"


async def test_a_killed_pilot_leaves_nothing_behind(work: Work, cluster: Cluster) -> None:
    task = a_task("sh", "-c", "(setsid sleep 60 &); sleep 60")
    process = await _begin(work, cluster, task)
    _pilot_of(process).kill()
    assert await cluster.ended(process) == 128 + signal.SIGKILL
    assert _gone(task)
    assert list((cluster.folder / "work").iterdir()) == []


async def test_a_killed_guardian_is_missed(work: Work, cluster: Cluster) -> None:
    task = a_task("sleep", "60")
    process = await _begin(work, cluster, task)
    process.kill()
    assert (await work.desk.until(task, StepName.DONE)).reason is Reason.INTERRUPTED
    await _until_gone(task)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes networks")
@pytest.mark.timeout(180)
async def test_a_network_that_is_cut(
    pytestconfig: pytest.Config, work: Work, nats: NatsSettings, s3: S3, storage: RunStorage, tmp_path: Path
) -> None:
    seconds = 60.0 if pytestconfig.getoption("--long-outages") else 3.0
    port, store = (int(url.rpartition(":")[2]) for url in (nats.url, s3.endpoint))
    async with AsyncExitStack() as stack:
        network = stack.enter_context(open_far_network())
        stack.enter_context(forwarding_there(network, store, store))
        near = await stack.enter_async_context(forwarding(network.here, 0, "127.0.0.1", port))
        await stack.enter_async_context(forwarding(network.here, store, "127.0.0.1", store))
        url = f"nats://{network.here}:{near}"
        cluster = stack.enter_context(pilots(tmp_path, url, old_python(), network.prefix))
        count = int(10 * seconds) + 20
        task = a_task(script=_COUNT.format(count=count), walltime=300.0)
        process = await _begin(work, cluster, task)
        network.pull()
        await asyncio.sleep(seconds)
        network.plug()
        async with asyncio.timeout(60):
            done = await _patiently(work, task)
        assert (done, await cluster.ended(process)) == (Reason.EXITED, 0)
    wanted = "".join(f"{number}\n" for number in range(count)).encode()
    assert await work.desk.log(task, "stdout") == (wanted, True)
    assert storage.read("logs/1/stdout") == wanted


async def _patiently(work: Work, task: RunTask) -> Reason | None:
    while True:
        try:
            return (await work.desk.until(task, StepName.DONE)).reason
        except TimeoutError:
            continue
