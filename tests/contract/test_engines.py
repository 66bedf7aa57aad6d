"""Every promise of `Engine`, against every engine. A new one is one entry in ENGINES, and an engine of a site's own is
checked by the same tests.

An entry is what makes a stand: it is called once for all tests of the module, with a stack that is unwound after them
and a folder. It calls `pytest.skip` with the reason where its cluster cannot be had.
"""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import pytest_asyncio

from contracts.errors import RefusedError
from services.scheduler.backends.engines.base import Engine, EngineMeans, Native, NativeState, Order
from services.scheduler.backends.engines.ray.engine import RayEngine
from services.scheduler.backends.engines.ray.settings import RaySettings
from services.scheduler.backends.engines.slurm.engine import SlurmEngine
from tests.support.docker_engine import dockerd_or_skip
from tests.support.docker_orders import docker_stand
from tests.support.engine_stand import EngineStand, Trial
from tests.support.engines import MemoryEngine
from tests.support.kubernetes_stand import real_cluster, simulated_cluster
from tests.support.nomad_site import ADDRESS as NOMAD_ADDRESS
from tests.support.nomad_site import open_real, open_simulated
from tests.support.process_engine import ProcessEngine
from tests.support.ray_cluster import missing_ray, shared_ray
from tests.support.slurm_cluster import run_slurm, skip_without_slurm

Make = Callable[[AsyncExitStack, Path], Awaitable[EngineStand]]

pytestmark = pytest.mark.asyncio(loop_scope="module")

_TOLD_TOO_SOON = 128 + signal.SIGTERM
"""How a script ends that was told to end before it could listen, as on a slow machine."""


async def _memory(_stack: AsyncExitStack, folder: Path) -> EngineStand:
    return EngineStand(lambda means: MemoryEngine(MemoryEngine.Settings(world=str(folder)), means), runs=False)


async def _processes(_stack: AsyncExitStack, folder: Path) -> EngineStand:
    def make(means: EngineMeans) -> Engine:
        return ProcessEngine(ProcessEngine.Settings(folder=folder / "cluster", grace=2.0), means)

    return EngineStand(make)


async def _ray(stack: AsyncExitStack, folder: Path) -> EngineStand:
    if missing_ray():
        pytest.skip(missing_ray())
    settings = stack.enter_context(shared_ray(folder.parent)).settings()

    def make(means: EngineMeans) -> Engine:
        return RayEngine(RaySettings.model_validate(settings), means)

    return EngineStand(make, patience=60.0, too_large={"gpus": 1, "gpu_model": "none such"})


async def _docker(stack: AsyncExitStack, folder: Path) -> EngineStand:
    return docker_stand(stack.enter_context(dockerd_or_skip()))


async def _kubernetes(stack: AsyncExitStack, folder: Path) -> EngineStand:
    return (await simulated_cluster(stack, folder)).stand()


async def _real_kubernetes(stack: AsyncExitStack, folder: Path) -> EngineStand:
    return (await real_cluster(stack, folder)).stand()


async def _nomad(stack: AsyncExitStack, folder: Path) -> EngineStand:
    site = await stack.enter_async_context(open_simulated(folder))
    return site.stand()


async def _real_nomad(stack: AsyncExitStack, folder: Path) -> EngineStand:
    if not NOMAD_ADDRESS:
        pytest.skip("SHUNTER_TEST_NOMAD_ADDR names no server")
    site = await stack.enter_async_context(open_real(folder))
    return site.stand()


async def _slurm(stack: AsyncExitStack, _folder: Path) -> EngineStand:
    skip_without_slurm()
    cluster = await stack.enter_async_context(run_slurm())
    return EngineStand(lambda means: SlurmEngine(cluster.settings(), means))


def _outside() -> dict[str, Make]:
    """Return the engine of somebody else's package, `SHUNTER_TEST_ENGINE=module:function`, if one is to be checked."""
    named = os.environ.get("SHUNTER_TEST_ENGINE")
    return {"outside": EntryPoint("outside", named, "shunter.backends").load()} if named else {}


ENGINES: dict[str, Make] = {
    "memory": _memory,
    "processes": _processes,
    "ray": _ray,
    "docker": _docker,
    "kubernetes": _kubernetes,
    "kubernetes-real": _real_kubernetes,
    "nomad": _nomad,
    "nomad-real": _real_nomad,
    "slurm": _slurm,
    **_outside(),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=ENGINES)
async def stand(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EngineStand]:
    async with AsyncExitStack() as stack:
        yield await ENGINES[request.param](stack, tmp_path_factory.mktemp(request.param))


@pytest_asyncio.fixture(loop_scope="module")
async def trial(stand: EngineStand, tmp_path: Path) -> AsyncIterator[Trial]:
    async with Trial.on(stand, tmp_path) as found:
        yield found


@pytest.fixture
def running(trial: Trial) -> Trial:
    """A trial on what really runs its jobs."""
    if not trial.stand.runs:
        pytest.skip("it only pretends to run what it is told")
    return trial


async def _start(engine: Engine, *orders: Order) -> list[Native]:
    answers = await engine.start(orders)
    assert [answer.error for answer in answers] == [None] * len(orders)
    return [Native(order.name, answer.native_id) for order, answer in zip(orders, answers, strict=True)]


async def test_what_was_started_is_shown(trial: Trial) -> None:
    engine = await trial.engine()
    natives = await _start(engine, trial.order(), trial.order())
    found = await trial.until(engine, natives, NativeState.RUNNING)
    assert [one and (one.name, one.native_id) for one in found] == [(one.name, one.native_id) for one in natives]
    assert all(one and one.ending is None for one in found)


async def test_starting_twice_is_one_job(trial: Trial) -> None:
    engine, order = await trial.engine(), trial.order()
    first, second = await _start(engine, order), await _start(engine, order)
    # What crashed between the start and the record knows nothing of it.
    third = await _start(await trial.engine(), order)
    assert first == second == third
    assert len(await engine.look(first)) == 1


async def test_what_nobody_expects_is_shown_too(trial: Trial) -> None:
    natives = await _start(await trial.engine(), trial.order())
    seen = await (await trial.engine()).look(())
    assert [(one.name, one.native_id) for one in seen.values()] == [(one.name, one.native_id) for one in natives]
    assert {name: one.name for name, one in seen.items()} == {natives[0].name: natives[0].name}


async def test_what_it_never_knew_is_left_out_and_stops_silently(trial: Trial) -> None:
    engine = await trial.engine()
    never = Native(f"{trial.means.site}-{'0' * 32}-1", "99999999")
    assert await engine.look([never]) == {}
    await engine.stop([never])
    await engine.remove([never])


async def test_what_is_of_another_site_is_not_shown(trial: Trial, tmp_path: Path) -> None:
    await _start(await trial.engine(), trial.order())
    async with Trial.on(trial.stand, tmp_path / "other") as other:
        assert await (await other.engine()).look(()) == {}


async def test_what_was_stopped_ends(trial: Trial) -> None:
    engine = await trial.engine()
    natives = await _start(engine, trial.order(), trial.order())
    await engine.stop(natives[:1])
    await trial.until(engine, natives[:1], None)
    await trial.until(engine, natives[1:], NativeState.RUNNING)
    await engine.stop(natives[:1])


async def test_what_was_removed_is_gone_and_may_be_removed_again(trial: Trial) -> None:
    engine = await trial.engine()
    natives = await _start(engine, trial.order())
    await engine.stop(natives)
    await trial.until(engine, natives, None)
    await engine.remove(natives)
    await trial.until(engine, natives, None)
    await engine.remove(natives)


async def test_the_longest_name_stays_as_it_is(trial: Trial) -> None:
    engine = await trial.engine()
    order = trial.order(name=f"{trial.means.site}-{'a' * 32}-1".ljust(52, "0"))
    await _start(engine, order)
    assert list(await engine.look(())) == [order.name]


async def test_what_is_refused_leaves_nothing_and_harms_no_other(trial: Trial) -> None:
    engine = await trial.engine()
    good, bad = trial.order(), trial.order(**trial.stand.too_large)
    answers = await engine.start([bad, good])
    assert isinstance(answers[0].error, RefusedError)
    assert (answers[1].error, bool(answers[1].native_id)) == (None, True)
    assert list(await engine.look(())) == [good.name]


async def test_it_says_how_large_it_is(trial: Trial) -> None:
    room = await (await trial.engine()).capacity()
    assert 0 < room.largest_cpus <= room.cpus
    assert 0 <= room.cpus_free <= room.cpus
    assert 0 < room.largest_memory <= room.memory


async def test_the_script_has_its_environment_and_its_end_is_shown(running: Trial) -> None:
    engine = await running.engine()
    script = (
        'test "$SHUNTER_PILOT_TOKEN" = a-secret || exit 8\ntest -r "$SHUNTER_PILOT_FILE" -o -n "$HOME" || exit 9\nexit '
    )
    natives = await _start(engine, running.order(script + "7"), running.order(script + "0"))
    found = await running.until(engine, natives, NativeState.ENDED)
    assert [one and one.exit_code for one in found] == [7, 0]
    assert [one and one.ending for one in found] == [None, None]


async def test_a_stop_reaches_the_whole_tree_and_leaves_time_for_last_words(running: Trial) -> None:
    engine = await running.engine()
    script = "sleep 600 &\nchild=$!\ntrap 'kill $child; sleep 0.2; exit 5' TERM\nwait $child"
    for _ in range(3):
        natives = await _start(engine, running.order(script))
        await running.until(engine, natives, NativeState.RUNNING)
        await engine.stop(natives)
        found = await running.until(engine, natives, None)
        if found[0] is None or found[0].exit_code != _TOLD_TOO_SOON:
            break
    # Some clusters tell how it ended, others that it was stopped.
    assert found[0] is None or found[0].exit_code in {5, None} or found[0].ending is not None
