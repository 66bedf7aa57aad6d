"""A Kubernetes that is older than what Shunter makes the most of, as a real one of 1.20 was seen to behave."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest_asyncio
from tenacity import AsyncRetrying, stop_after_delay, wait_fixed

from contracts.errors import RefusedError
from contracts.states import Reason
from services.scheduler.backends.engines.base import Engine, Native, NativeState
from services.scheduler.backends.engines.kubernetes.kinds import PODS
from tests.support.engine_stand import Trial
from tests.support.kubernetes_stand import KubernetesStand, simulated_cluster


@pytest_asyncio.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[KubernetesStand]:
    async with AsyncExitStack() as stack:
        yield await simulated_cluster(stack, tmp_path / "cluster", minor=20)


@pytest_asyncio.fixture
async def trial(cluster: KubernetesStand, tmp_path: Path) -> AsyncIterator[Trial]:
    async with Trial.on(cluster.stand(queues=["night"], lost_after=1, grace=1), tmp_path) as found:
        yield found


async def _running(trial: Trial, engine: Engine) -> Native:
    order = trial.order()
    (answer,) = await engine.start([order])
    native = Native(order.name, answer.native_id)
    await trial.until(engine, [native], NativeState.RUNNING)
    return native


async def test_it_says_what_it_lacks(trial: Trial) -> None:
    room = await (await trial.engine()).capacity()
    assert [lack.split()[4] for lack in room.lacks] == [
        "ttlSecondsAfterFinished", "suspend", "podFailurePolicy", "backoffLimitPerIndex", "podReplacementPolicy",
    ]  # fmt: skip


async def test_a_job_for_a_queue_is_refused_since_it_would_not_wait_there(trial: Trial) -> None:
    engine = await trial.engine()
    (answer,) = await engine.start([trial.order("true", options={"queue": "night"})])
    assert isinstance(answer.error, RefusedError)
    assert "Kubernetes 1.20 has no Jobs that wait" in answer.error.detail


async def test_a_pod_that_is_made_in_place_of_another_is_no_second_try(cluster: KubernetesStand, trial: Trial) -> None:
    engine = await trial.engine()
    native = await _running(trial, engine)
    (pod,) = await cluster.pods(native.name)
    await cluster.delete(PODS, pod.metadata.name)
    (found,) = await trial.until(engine, [native], NativeState.ENDED)
    assert found
    assert found.ending is Reason.INTERRUPTED
    # There is another one by now, which goes with the Job.
    assert [one for one in await cluster.pods(native.name) if one.metadata.uid != pod.metadata.uid]
    await engine.remove([native])
    await trial.until(engine, [native], None)
    async for attempt in AsyncRetrying(stop=stop_after_delay(20), wait=wait_fixed(0.1), reraise=True):
        with attempt:
            assert await cluster.pods(native.name) == []


async def test_a_node_that_says_nothing_is_given_up_though_nobody_says_so(
    cluster: KubernetesStand, trial: Trial
) -> None:
    assert cluster.simulator
    engine = await trial.engine()
    native = await _running(trial, engine)
    cluster.simulator.lose_node("n1")
    (found,) = await trial.until(engine, [native], NativeState.ENDED)
    assert found
    assert (found.ending, found.reason) == (Reason.LOST, "node n1 is lost")
