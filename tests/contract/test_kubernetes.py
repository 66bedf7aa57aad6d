"""What Kubernetes says of our native jobs: the simulated cluster, and the one that `SHUNTER_TEST_KUBECONFIG` names."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from tenacity import AsyncRetrying, stop_after_delay, wait_fixed

from contracts.errors import RefusedError, UnavailableError
from contracts.states import Reason
from services.scheduler.backends.engines.base import Engine, Native, NativeState, Order, Seen
from services.scheduler.backends.engines.kubernetes.kinds import JOBS, PODS, QUOTAS
from tests.support.engine_stand import Trial
from tests.support.kubernetes_stand import KubernetesStand, real_cluster, simulated_cluster

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["simulated", "simulated-old", "real"])
async def cluster(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[KubernetesStand]:
    async with AsyncExitStack() as stack:
        folder = tmp_path_factory.mktemp("cluster")
        if request.param == "real":
            yield await real_cluster(stack, folder)
        else:
            yield await simulated_cluster(stack, folder, minor=20 if request.param == "simulated-old" else 36)


@pytest_asyncio.fixture(loop_scope="module")
async def trial(cluster: KubernetesStand, tmp_path: Path) -> AsyncIterator[Trial]:
    async with Trial.on(cluster.stand(image_patience=1.0), tmp_path) as found:
        yield found


async def _start(engine: Engine, order: Order) -> Native:
    (answer,) = await engine.start([order])
    assert answer.error is None
    return Native(order.name, answer.native_id)


async def _seen(trial: Trial, engine: Engine, native: Native, state: NativeState) -> Seen:
    (found,) = await trial.until(engine, [native], state)
    assert found is not None
    return found


async def _reason(trial: Trial, engine: Engine, native: Native, word: str) -> Seen:
    """Look until the cluster gives this reason."""
    found = await _seen(trial, engine, native, NativeState.WAITING)
    async for attempt in _tries(trial):
        with attempt:
            if word not in found.reason:
                found = await _seen(trial, engine, native, NativeState.WAITING)
            assert word in found.reason
    return found


def _tries(trial: Trial) -> AsyncRetrying:
    return AsyncRetrying(stop=stop_after_delay(trial.stand.patience), wait=wait_fixed(0.1), reraise=True)


async def test_what_no_node_has_room_for_says_so(trial: Trial) -> None:
    engine = await trial.engine()
    native = await _start(engine, trial.order("true", cpus=10_000.0))
    assert "nsufficient cpu" in (await _reason(trial, engine, native, "Unschedulable")).reason


async def test_an_image_that_cannot_be_pulled_is_refused_after_a_while(trial: Trial) -> None:
    engine = await trial.engine()
    native = await _start(engine, trial.order("true", image="registry.invalid/no-such-image:1"))
    waiting = await _reason(trial, engine, native, "Pull")
    found = await _seen(trial, engine, native, NativeState.ENDED)
    assert (waiting.ending, found.ending) == (None, Reason.REFUSED)
    assert "Pull" in found.reason


async def test_an_image_whose_name_is_none_is_refused_at_once(trial: Trial) -> None:
    engine = await trial.engine()
    native = await _start(engine, trial.order("true", image="Not An Image"))
    found = await _seen(trial, engine, native, NativeState.ENDED)
    assert found.ending is Reason.REFUSED
    assert "InvalidImageName" in found.reason


async def test_too_much_memory_is_told_apart(trial: Trial) -> None:
    engine = await trial.engine()
    use = "import time; x = bytearray(200 * 2**20); x[::4096] = b'1' * len(x[::4096]); time.sleep(60)"
    native = await _start(engine, trial.order(f'exec python3 -c "{use}"', memory=96 * 2**20))
    found = await _seen(trial, engine, native, NativeState.ENDED)
    assert (found.ending, found.exit_code) == (Reason.MEMORY, 137)


async def test_who_outlives_his_time_is_ended_by_the_node(trial: Trial, cluster: KubernetesStand) -> None:
    async with Trial.on(cluster.stand(pull=0), trial.means.data) as brief:
        engine = await brief.engine()
        native = await _start(engine, brief.order("exec sleep 600", walltime=1.0))
        found = await _seen(brief, engine, native, NativeState.ENDED)
    assert found.ending is Reason.WALLTIME
    assert "DeadlineExceeded" in found.reason


async def test_the_last_words_of_what_fails_are_its_reason(trial: Trial) -> None:
    engine = await trial.engine()
    native = await _start(engine, trial.order("echo no python here; exit 91"))
    found = await _seen(trial, engine, native, NativeState.ENDED)
    assert (found.ending, found.exit_code, found.reason) == (None, 91, "exit code 91: no python here")


async def test_who_is_pushed_out_is_interrupted(trial: Trial, cluster: KubernetesStand) -> None:
    engine = await trial.engine()
    native = await _start(engine, trial.order())
    await _seen(trial, engine, native, NativeState.RUNNING)
    await cluster.evict(native.name)
    found = await _seen(trial, engine, native, NativeState.ENDED)
    assert found.ending is Reason.INTERRUPTED
    if (await cluster.admin.release()).tells_disruptions:
        assert "EvictionByEvictionAPI" in found.reason or "DisruptionTarget" in found.reason


async def test_a_job_that_somebody_deletes_is_canceled_when_its_pod_is_gone(
    trial: Trial, cluster: KubernetesStand
) -> None:
    engine = await trial.engine()
    native = await _start(engine, trial.order("trap 'sleep 0.5; exit' TERM; sleep 60 & wait"))
    await _seen(trial, engine, native, NativeState.RUNNING)
    await cluster.delete(JOBS, native.name)
    found = await _seen(trial, engine, native, NativeState.ENDED)
    assert found.ending is Reason.CANCELED
    assert [pod for pod in await cluster.pods(native.name) if pod.status.phase == "Running"] == []
    # It is told of until that was taken in.
    assert native.name in await engine.look([])
    await engine.remove([native])
    assert native.name not in await engine.look([native])


async def test_a_secret_goes_with_its_job(trial: Trial, cluster: KubernetesStand) -> None:
    engine = await trial.engine()
    native = await _start(engine, trial.order())
    assert native.name in await cluster.secrets()
    await cluster.delete(JOBS, native.name)
    async for attempt in _tries(trial):
        with attempt:
            assert native.name not in await cluster.secrets()


async def test_another_backend_on_the_cluster_does_not_see_it(trial: Trial) -> None:
    await _start(await trial.engine(), trial.order())
    other = trial.stand.make(replace(trial.means, backend="other"))
    await other.open()
    try:
        assert await other.look([]) == {}
    finally:
        await other.close()


async def test_a_pod_that_somebody_deletes_is_a_canceled_job(trial: Trial, cluster: KubernetesStand) -> None:
    engine = await trial.engine()
    native = await _start(engine, trial.order())
    await _seen(trial, engine, native, NativeState.RUNNING)
    (pod,) = await cluster.pods(native.name)
    await cluster.delete(PODS, pod.metadata.name)
    found = await _seen(trial, engine, native, NativeState.ENDED)
    tells = (await cluster.admin.release()).tells_disruptions
    assert found.ending in ({Reason.CANCELED, Reason.LOST} if tells else {Reason.INTERRUPTED})


async def test_a_quota_that_is_used_up_is_why_it_waits(trial: Trial, cluster: KubernetesStand) -> None:
    engine = await trial.engine()
    quota = await cluster.limit(requests_cpu="1500m")
    try:
        first = await _start(engine, trial.order())
        await _seen(trial, engine, first, NativeState.RUNNING)
        second = await _start(engine, trial.order("true"))
        assert "exceeded quota" in (await _reason(trial, engine, second, "quota")).reason
        room = await engine.capacity()
        assert (room.cpus, room.cpus_free) == (1.5, 0.5)
    finally:
        await cluster.delete(QUOTAS, quota)


async def test_a_full_namespace_is_no_fault_of_the_jobs(trial: Trial, cluster: KubernetesStand) -> None:
    engine = await trial.engine()
    quota = await cluster.limit(**{"count/jobs_batch": "0"})
    try:
        async for attempt in _tries(trial):
            with attempt:
                (answer,) = await engine.start([trial.order("true")])
                assert isinstance(answer.error, UnavailableError)
                assert "quota" in answer.error.detail
    finally:
        await cluster.delete(QUOTAS, quota)


async def test_gpus_are_asked_for_by_model_and_counted(trial: Trial) -> None:
    engine = await trial.engine()
    room = await engine.capacity()
    if room.gpus_free < 1:
        pytest.skip("no GPU of this cluster is free")
    model = room.gpu_models[0].lower() if room.gpu_models else None
    native = await _start(engine, trial.order(gpus=1, gpu_model=model))
    found = await _seen(trial, engine, native, NativeState.RUNNING)
    assert found.node
    await asyncio.sleep(0.2)
    assert (await engine.capacity()).gpus_free == room.gpus_free - 1
    assert isinstance(
        (await engine.start([trial.order(gpus=1, gpu_model="abacus")]))[0].error,
        RefusedError,
    )


async def test_nothing_is_left_of_what_was_removed(trial: Trial, cluster: KubernetesStand) -> None:
    engine = await trial.engine()
    native = await _start(engine, trial.order("true"))
    await _seen(trial, engine, native, NativeState.ENDED)
    await engine.remove([native])
    await trial.until(engine, [native], None)
    async for attempt in _tries(trial):
        with attempt:
            assert await cluster.pods(native.name) == []
    assert native.name not in await cluster.secrets()
