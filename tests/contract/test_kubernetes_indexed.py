"""Native jobs that are alike are one indexed Job on Kubernetes: each starts, ends and goes by itself all the same."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from unittest.mock import patch

import pytest
import pytest_asyncio

from contracts.errors import UnavailableError
from contracts.states import Reason
from services.scheduler.backends.engines.base import Engine, Native, NativeState, Order
from services.scheduler.backends.engines.kubernetes.indexed import names_of
from services.scheduler.backends.engines.kubernetes.kinds import JOBS, QUOTAS
from services.scheduler.backends.engines.kubernetes.records import Job
from services.scheduler.backends.engines.kubernetes.starting import Starter
from tests.support.engine_stand import Trial
from tests.support.kubernetes_stand import KubernetesStand, real_cluster, simulated_cluster

pytestmark = pytest.mark.asyncio(loop_scope="module")

_BY_NAME = 'case "$SHUNTER_PILOT_NAME" in *-b) exit 3;; *-c) sleep 60;; esac'
"""The second of three fails, the third one stays."""


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["simulated", "real"])
async def cluster(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[KubernetesStand]:
    async with AsyncExitStack() as stack:
        folder = tmp_path_factory.mktemp("cluster")
        if request.param == "real":
            found = await real_cluster(stack, folder)
            if not (await found.admin.release()).has("backoffLimitPerIndex"):
                pytest.skip("the cluster is too old for indexed Jobs whose indices fail one by one (before 1.29)")
            yield found
        else:
            yield await simulated_cluster(stack, folder)


@pytest_asyncio.fixture(loop_scope="module")
async def trial(cluster: KubernetesStand, tmp_path: Path) -> AsyncIterator[Trial]:
    async with Trial.on(cluster.stand(), tmp_path) as found:
        yield found


def _orders(trial: Trial, script: str = "exec sleep 60", letters: str = "abc") -> list[Order]:
    return [trial.order(script, name=f"{trial.means.site}-{letter}") for letter in letters]


async def _start(engine: Engine, orders: Sequence[Order]) -> list[Native]:
    answers = await engine.start(orders)
    assert [answer.error for answer in answers] == [None] * len(orders)
    return [Native(order.name, answer.native_id) for order, answer in zip(orders, answers, strict=True)]


async def _jobs(cluster: KubernetesStand, trial: Trial) -> list[list[str]]:
    """Return the names of the native jobs of each Job."""
    labels = f"shunter/site={trial.means.site}"
    found, _ = await cluster.admin.list(JOBS, Job, namespace=cluster.namespace, labels=labels)
    return [names_of(job) for job in found]


async def test_those_that_are_alike_are_one_job_and_each_has_its_own_environment(
    cluster: KubernetesStand, trial: Trial
) -> None:
    engine = await trial.engine()
    natives = await _start(engine, _orders(trial, _BY_NAME))
    assert await _jobs(cluster, trial) == [[native.name for native in natives]]
    a, b = await trial.until(engine, natives[:2], NativeState.ENDED)
    assert a
    assert b
    assert (a.ending, a.exit_code, b.ending, b.exit_code) == (None, 0, None, 3)
    assert (a.native_id, b.native_id) == (natives[0].native_id, natives[1].native_id)
    # That one failed is not the end of the others.
    (c,) = await trial.until(engine, natives[2:], NativeState.RUNNING)
    assert c
    assert c.node


async def test_what_is_not_alike_is_another_job(cluster: KubernetesStand, trial: Trial) -> None:
    engine = await trial.engine()
    other = trial.order("exec sleep 50", name=f"{trial.means.site}-d")
    await _start(engine, [*_orders(trial), other])
    assert sorted(map(len, await _jobs(cluster, trial))) == [1, 3]


async def test_one_is_stopped_and_the_others_run_on(trial: Trial) -> None:
    engine = await trial.engine()
    a, b, c = await _start(engine, _orders(trial))
    await trial.until(engine, [a, b, c], NativeState.RUNNING)
    await engine.stop([b])
    await trial.until(engine, [b], None)
    (one, other) = await trial.until(engine, [a, c], NativeState.RUNNING)
    assert one
    assert other
    await engine.stop([a, b, c])
    await trial.until(engine, [a, b, c], None)


async def test_one_that_has_no_pod_yet_ends_when_it_gets_one(cluster: KubernetesStand, trial: Trial) -> None:
    engine = await trial.engine()
    quota = await cluster.limit(requests_cpu="100m")
    natives = await _start(engine, _orders(trial))
    await engine.stop(natives[:1])
    await trial.until(engine, natives, NativeState.WAITING)
    await cluster.admin.delete(QUOTAS, cluster.namespace, quota)
    await trial.until(engine, natives[:1], None)
    await trial.until(engine, natives[1:], NativeState.RUNNING)


async def test_they_are_removed_one_by_one_and_nothing_is_left(cluster: KubernetesStand, trial: Trial) -> None:
    engine = await trial.engine()
    a, b, c = await _start(engine, _orders(trial, "true"))
    await trial.until(engine, [a, b, c], NativeState.ENDED)
    await engine.remove([a])
    assert set(await engine.look([])) == {b.name, c.name}
    assert len(await _jobs(cluster, trial)) == 1
    await engine.remove([b, c])
    await engine.remove([c])
    await trial.until(engine, [a, b, c], None)
    assert await _jobs(cluster, trial) == []
    assert not [name for name in await cluster.secrets() if name.startswith(trial.means.site)]


async def test_one_that_is_pushed_out_says_so(cluster: KubernetesStand, trial: Trial) -> None:
    if cluster.simulator is None:
        pytest.skip("only the simulator evicts one pod of several by its index")
    engine = await trial.engine()
    natives = await _start(engine, _orders(trial))
    await trial.until(engine, natives, NativeState.RUNNING)
    pods = cluster.simulator.pods_of(natives[0].name)
    cluster.simulator.kubelet.to_kill[pods[1]["metadata"]["uid"]] = "Evicted"
    (pushed,) = await trial.until(engine, [natives[1]], NativeState.ENDED)
    assert pushed
    assert pushed.ending is Reason.INTERRUPTED
    await trial.until(engine, [natives[0], natives[2]], NativeState.RUNNING)


async def test_after_a_restart_each_is_found_by_its_name(cluster: KubernetesStand, trial: Trial) -> None:
    orders = _orders(trial)
    natives = await _start(await trial.engine(), orders)
    again = await trial.engine()
    await again.look([])
    assert await _start(again, orders[1:]) == natives[1:]
    assert len(await _jobs(cluster, trial)) == 1
    # What is known by its name only is stopped by it.
    await again.stop([Native(native.name, "") for native in natives])
    await trial.until(again, natives, None)


async def test_a_call_of_which_no_answer_came_doubles_none(cluster: KubernetesStand, trial: Trial) -> None:
    engine = await trial.engine()
    orders, start = _orders(trial), Starter.start

    async def break_off(self: Starter, made: object) -> Job:
        await start(self, made)  # type: ignore[arg-type]
        raise UnavailableError("the connection broke off")

    with patch.object(Starter, "start", break_off):
        answers = await engine.start(orders)
    assert all(isinstance(answer.error, UnavailableError) for answer in answers)
    # The first one is not wanted any more: the others would be a Job of another name.
    natives = await _start(engine, orders[1:])
    assert await _jobs(cluster, trial) == [[order.name for order in orders]]
    await trial.until(engine, natives, NativeState.RUNNING)


async def test_an_older_cluster_gets_a_job_for_each(cluster: KubernetesStand, tmp_path: Path) -> None:
    if cluster.simulator is None:
        pytest.skip("a real one is of one release")
    cluster.simulator.store.minor = 28
    try:
        async with Trial.on(cluster.stand(), tmp_path) as trial:
            engine = await trial.engine()
            natives = await _start(engine, _orders(trial, "true"))
            assert sorted(await _jobs(cluster, trial)) == [[native.name] for native in natives]
            await trial.until(engine, natives, NativeState.ENDED)
    finally:
        cluster.simulator.store.minor = 36
