"""The engine for Slurm on a real one: two nodes with GPUs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from contracts.errors import RefusedError, UnavailableError
from contracts.states import Reason
from services.scheduler.backends.engines.base import EngineMeans, Native, NativeState, Started
from services.scheduler.backends.engines.slurm.engine import SlurmEngine
from services.scheduler.backends.engines.slurm.identity import array_of, number_of
from tests.support.slurm_bench import Bench
from tests.support.slurm_cluster import SlurmCluster, needs_slurm, run_slurm, until

pytestmark = [needs_slurm, pytest.mark.asyncio(loop_scope="module")]

_PATIENT = '#!/bin/sh\ntrap \'echo told >"$MARK"; exit 0\' TERM\necho $$ >"$MARK.pid"\nsleep 300 & wait $!\n'
"""It leaves a mark when it is told to end, as the pilot says its last words."""

_DEAF = "#!/bin/sh\ntrap '' TERM\nsleep 300\nsleep 300\n"


def _is_written(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0  # a shell makes it before it writes


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster() -> AsyncIterator[SlurmCluster]:
    """One for all tests here; each has a site word of its own."""
    async with run_slurm() as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def bench(cluster: SlurmCluster, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    """An engine for one test."""
    found = Bench(cluster, f"t{abs(hash(request.node.name)) % 10**9}", tmp_path, last_words=1)
    yield found
    await found.end()


async def test_a_job_runs_and_ends_and_leaves_nothing(bench: Bench) -> None:
    (good, bad) = await bench.start(
        bench.order("good", '#!/bin/sh\necho "$SHUNTER_PILOT_NAME"\n'),
        bench.order("bad", "#!/bin/sh\nexit 92\n", cpus=2),
    )
    found = await bench.reach([good, bad], NativeState.ENDED)
    assert (found[good.name].exit_code, found[bad.name].exit_code) == (0, 92)
    assert found[good.name].ending is None
    assert found[good.name].node in {"n1", "n2"}
    log = bench.cluster.work / "logs" / f"{number_of(good.native_id)}.log"
    assert log.read_text() == f"{good.name}\n"
    assert (log.parent.stat().st_mode & 0o777) == 0o700
    await bench.engine.remove([good, bad])
    assert not log.exists()


async def test_the_same_name_twice_is_one_job(bench: Bench) -> None:
    orders = [bench.order("one"), bench.order("two"), bench.order("three", cpus=2)]
    first = await bench.engine.start([replace(order, fresh=True) for order in orders])
    assert await bench.engine.start(orders) == first
    other = SlurmEngine(bench.cluster.settings(), bench.engine.means)  # after a restart
    assert await other.start(orders[::-1]) == first[::-1]
    assert {seen.name for seen in (await other.look(())).values()} == {order.name for order in orders}


async def test_jobs_of_one_shape_are_one_array(bench: Bench) -> None:
    script = '#!/bin/sh\necho "$SHUNTER_PILOT_NAME" >"$MARK"; sleep 300\n'
    natives = await bench.start(*(bench.order(f"n{number}", script) for number in range(12)))
    assert len({array_of(native.native_id) for native in natives}) == 1
    fresh = SlurmEngine(bench.cluster.settings(), bench.engine.means)
    found = await fresh.look(())
    assert {seen.name: seen.native_id for seen in found.values()} == {one.name: one.native_id for one in natives}

    async def eight_run() -> bool:
        states = [seen.state for seen in (await fresh.look(())).values()]
        return states.count(NativeState.RUNNING) == 8

    await until(eight_run)
    await until(lambda: _is_written(bench.folder / "n3"))
    assert (bench.folder / "n3").read_text() == f"{bench.site}-n3-1\n"
    ids = {one.name.split("-")[1]: one for one in natives}
    await fresh.stop([ids["n3"], ids["n9"]])

    async def both_ended() -> bool:
        seen = await fresh.look(natives)
        return all(seen[ids[word].name].state is NativeState.ENDED for word in ("n3", "n9"))

    await until(both_ended)
    seen = await fresh.look(natives)
    assert seen[ids["n9"].name].ending is Reason.CANCELED
    assert [one.state for one in seen.values()].count(NativeState.ENDED) == 2  # and no other


async def test_gpus_are_given_by_model(bench: Bench) -> None:
    script = '#!/bin/sh\necho "$CUDA_VISIBLE_DEVICES" >"$MARK"; sleep 300\n'
    orders = [bench.order(f"g{number}", script, gpus=1, gpu_model="a100") for number in range(4)]
    natives = await bench.start(*orders)
    await bench.reach(natives)
    await until(lambda: all(_is_written(bench.folder / f"g{number}") for number in range(4)))
    seen = [(bench.folder / f"g{number}").read_text().strip() for number in range(4)]
    assert sorted(seen) == ["0", "0", "1", "1"]
    capacity = await bench.engine.capacity()
    assert (capacity.gpus, capacity.gpus_free, capacity.gpu_models, capacity.running) == (4, 0, ("a100",), 4)
    (late,) = await bench.start(bench.order("late", gpus=2))
    found = await bench.reach([late], NativeState.WAITING)
    await until(lambda: _says(bench, late, {"Resources", "Priority"}))
    assert found[late.name].ending is None


async def _says(bench: Bench, native: Native, reasons: set[str]) -> bool:
    return (await bench.engine.look([native]))[native.name].reason in reasons


async def test_processes_are_spread_over_nodes_by_mpirun(bench: Bench) -> None:
    script = '#!/bin/sh\nsrun sh -c \'echo $SLURMD_NODENAME\' | sort >"$MARK"; mv "$MARK" "$MARK.done"\n'
    (native,) = await bench.start(bench.order("wide", script, nodes=2, processes=4, cpus=2))
    found = await bench.reach([native], NativeState.ENDED)
    assert (bench.folder / "wide.done").read_text().split() == ["n1", "n1", "n2", "n2"]
    assert found[native.name].node == "n[1-2]"


async def test_a_stopped_job_says_its_last_words_and_a_deaf_one_is_ended(bench: Bench) -> None:
    patient, deaf = await bench.start(bench.order("patient", _PATIENT), bench.order("deaf", _DEAF, cpus=2))
    await bench.reach([patient, deaf])
    await until((bench.folder / "patient.pid").exists)
    for _ in range(2):
        await bench.engine.stop([patient, deaf])
    await bench.reach([patient, deaf], NativeState.ENDED)
    assert (bench.folder / "patient").read_text() == "told\n"
    await bench.engine.stop([Native(f"{bench.site}-gone-1", "99999"), Native(f"{bench.site}-none-1", "")])


async def test_jobs_that_wait_are_taken_out(bench: Bench) -> None:
    (native,) = await bench.start(bench.order("w", options={"partition": "closed"}))
    assert await _says(bench, native, {"PartitionDown", "None", "", "Priority"})
    await bench.engine.stop([Native(native.name, "")])
    found = await bench.reach([native], NativeState.ENDED)
    assert found[native.name].ending is Reason.CANCELED


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"options": {"partition": "nope"}}, "Invalid partition name"),
        ({"options": {"reservation": "nope"}}, "Requested reservation is invalid"),
        ({"options": {"constraint": "nope"}}, "Invalid feature specification"),
        ({"gpus": 1, "gpu_model": "h100"}, "Requested node configuration is not available"),
        ({"gpus": 3}, "Requested node configuration is not available"),
        ({"memory": 2**40}, "Memory specification can not be satisfied"),
        ({"options": {"wrap": "id"}}, r"placement\.options\.slurm\.wrap"),
    ],
)
async def test_a_bad_job_is_refused_and_the_others_are_not(bench: Bench, more: dict[str, Any], said: str) -> None:
    good, bad = await bench.engine.start([bench.order("good"), bench.order("bad", **more)])
    assert good.native_id
    assert isinstance(bad.error, RefusedError)
    with pytest.raises(RefusedError, match=said):
        raise bad.error
    assert list(await bench.engine.look(())) == [f"{bench.site}-good-1"]  # nothing is left of the other


async def test_reservations_and_features_are_asked_for(bench: Bench) -> None:
    create = ("create", "reservation=res", "starttime=now", "duration=10", "user=root", "nodes=n2", "corecnt=2")
    await bench.cluster.call("scontrol", *create)
    try:
        inside, on_ib = await bench.start(
            bench.order("res", options={"reservation": "res"}), bench.order("ib", options={"constraint": "ib"}, cpus=2)
        )
        found = await bench.reach([inside, on_ib])
        assert (found[inside.name].node, found[on_ib.name].node) == ("n2", "n1")
    finally:
        await bench.end()
        await until(lambda: _is_empty(bench))
        await bench.cluster.call("scontrol", "delete", "reservationname=res")


async def _is_empty(bench: Bench) -> bool:
    return all(seen.state is NativeState.ENDED for seen in (await bench.engine.look(())).values())


async def test_an_admin_ends_a_job_and_may_not_start_it_again(bench: Bench) -> None:
    canceled, held = await bench.start(bench.order("c"), bench.order("h", cpus=2))
    await bench.reach([canceled, held])
    with pytest.raises(RuntimeError, match="presently disabled"):
        await bench.cluster.call("scontrol", "requeue", number_of(held.native_id))
    await bench.cluster.call("scancel", number_of(canceled.native_id))
    found = await bench.reach([canceled], NativeState.ENDED)
    assert found[canceled.name].ending is Reason.CANCELED
    await bench.cluster.call("scontrol", "update", f"jobid={number_of(held.native_id)}", "requeue=1")
    await bench.cluster.call("scontrol", "requeue", number_of(held.native_id))
    found = await bench.reach([held], NativeState.ENDED)
    assert found[held.name].ending is Reason.INTERRUPTED
    await bench.engine.remove([held])

    async def is_gone() -> bool:
        return number_of(held.native_id) not in await bench.cluster.call("squeue", "--noheader", "--format=%i")

    await until(is_gone)


async def test_a_number_that_another_job_has_by_now_harms_it_not(bench: Bench) -> None:
    """A controller that crashed may have lost jobs, and begins with their numbers again."""
    (native,) = await bench.start(bench.order("new"))
    await bench.reach([native])
    written = bench.cluster.work / "logs" / f"{number_of(native.native_id)}.log"

    async def is_written() -> bool:
        return written.exists()

    await until(is_written)
    lost = Native(f"{bench.site}-old-1", native.native_id)
    await bench.engine.stop([lost])
    await bench.engine.remove([lost])
    assert (await bench.engine.look([lost]))[native.name].state is NativeState.RUNNING
    assert written.exists()


async def test_a_job_of_somebody_more_urgent_takes_its_place(bench: Bench) -> None:
    (native,) = await bench.start(bench.order("low", cpus=4, options={"nodelist": "n1"}))
    await bench.reach([native])
    (urgent,) = await bench.start(bench.order("high", cpus=4, options={"nodelist": "n1", "partition": "urgent"}))
    found = await bench.reach([native], NativeState.ENDED)
    assert found[native.name].ending is Reason.INTERRUPTED
    await bench.reach([urgent])


async def test_the_controller_is_away_and_comes_back(bench: Bench) -> None:
    (native,) = await bench.start(bench.order("a"))
    await bench.reach([native])
    await bench.cluster.saved()
    await bench.cluster.kill("slurmctld")
    with pytest.raises(UnavailableError, match="Unable to contact slurm controller"):
        await bench.engine.look([native])
    with pytest.raises(UnavailableError):
        await bench.engine.stop([native])
    (answer,) = await bench.engine.start([bench.order("b")])
    assert isinstance(answer.error, UnavailableError)
    await bench.cluster.start_controller()
    await bench.reach([native])
    await bench.start(bench.order("b"))


async def test_a_node_fails_and_is_left_out(bench: Bench) -> None:
    one, two = await bench.start(
        bench.order("one", options={"nodelist": "n1"}), bench.order("two", options={"nodelist": "n2"})
    )
    await bench.reach([one, two])
    await bench.cluster.kill("n2")
    found = await bench.reach([two], NativeState.ENDED)
    assert found[two.name].ending is Reason.LOST
    assert (await bench.engine.look([one]))[one.name].state is NativeState.RUNNING
    await bench.cluster.call("scontrol", "update", "nodename=n1", "state=drain", "reason=new disk")
    with pytest.raises(UnavailableError, match=r"n1 is drain.*new disk.*n2 is down"):
        await bench.engine.capacity()
    await bench.cluster.call("scontrol", "update", "nodename=n1", "state=resume")
    await until(lambda: _has_cpus(bench, 4))
    await bench.cluster.start_node("n2")
    await until(lambda: _has_cpus(bench, 8))


async def _has_cpus(bench: Bench, cpus: int) -> bool:
    with suppress(UnavailableError):  # right after a start of its own the controller waits for a word of each node
        return (await bench.engine.capacity()).cpus == cpus
    return False


async def test_no_secret_is_in_an_argument_or_in_the_script(bench: Bench) -> None:
    order = bench.order("s", '#!/bin/sh\ntest -n "$TOKEN" && sleep 300\n')
    order = replace(order, launch=replace(order.launch, env={"TOKEN": "s3cret"}))
    (native,) = await bench.start(order)
    await bench.reach([native])
    shown = await bench.cluster.call("scontrol", "show", "job", "-dd", number_of(native.native_id))
    script = await bench.cluster.call("scontrol", "write", "batch_script", number_of(native.native_id), "-")
    assert "s3cret" not in shown + script
    assert "s3cret" not in await bench.cluster.call("ps", "-eo", "args")


async def test_our_own_environment_does_not_reach_the_jobs(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHUNTER_NATS__PASSWORD", "ours")
    monkeypatch.setenv("SBATCH_PARTITION", "closed")
    (native,) = await bench.start(bench.order("e", '#!/bin/sh\nenv >"$MARK"\n'))
    await bench.reach([native], NativeState.ENDED)
    assert "SHUNTER_NATS__PASSWORD" not in (bench.folder / "e").read_text()


async def test_where_there_are_no_commands_the_reason_is_said(tmp_path: Path) -> None:
    cluster = SlurmCluster(tmp_path, tmp_path / "slurm.conf")
    engine = SlurmEngine(cluster.settings(commands="/nowhere"), EngineMeans("hpc", "s", tmp_path))
    with pytest.raises(UnavailableError, match="squeue cannot be run"):
        await engine.look(())
    assert isinstance((await engine.start([Bench(cluster, "s", tmp_path).order()]))[0], Started)


async def test_time_is_up(bench: Bench) -> None:
    """The pilot is told a while before the end, alone; what stays is ended by Slurm, which looks every 30 s."""
    told, deaf = await bench.start(bench.order("told", _PATIENT, walltime=1), bench.order("deaf", _DEAF, cpus=2))
    await bench.reach([told, deaf])
    await until((bench.folder / "told.pid").exists)
    for native in (told, deaf):
        await bench.cluster.call("scontrol", "update", f"jobid={number_of(native.native_id)}", "endtime=now+2seconds")
    found = await bench.reach([told, deaf], NativeState.ENDED)
    assert (bench.folder / "told").read_text() == "told\n"
    assert found[deaf.name].ending is Reason.WALLTIME
