"""The keeper of a cluster: what waits is started once, what ends is told, what nobody wants is stopped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import update

from contracts.errors import RefusedError, UnavailableError
from contracts.model import now
from contracts.runs import RunBundle, RunTask
from contracts.states import Reason, WorkloadState
from services.chassis.settings import NatsSettings
from services.scheduler.backends.base import Cancelled, Observation
from services.scheduler.backends.engines.base import NativeState
from services.scheduler.natives.words import AttemptState, JobState
from services.scheduler.tables import METADATA, native_attempts
from tests.support.clusters import CONTEXT, Rig, native_of, open_rig, task

PACK: dict[str, Any] = {"pack": {"most": 3, "cpus": 2, "walltime": 100}}


@pytest_asyncio.fixture
async def rig(tmp_path: Path, nats: NatsSettings) -> AsyncIterator[Rig]:
    async with open_rig(tmp_path, nats) as found:
        yield found


@pytest_asyncio.fixture
async def packing(tmp_path: Path, nats: NatsSettings) -> AsyncIterator[Rig]:
    async with open_rig(tmp_path, nats, **PACK) as found:
        yield found


async def _started(rig: Rig, *tasks: RunTask) -> list[str]:
    await rig.put(*tasks)
    await rig.starter.start()
    return [await rig.native_for(one) for one in tasks]


async def _looks(rig: Rig, times: int = 3) -> None:
    for _ in range(times):
        await rig.looker.look()


async def _long_ago(rig: Rig) -> None:
    """Let all that was started have been started a while ago."""
    await rig.age(timedelta(seconds=90))


# --- the usual way --------------------------------------------------------------------------------------------------


async def test_an_attempt_goes_its_whole_way(rig: Rig) -> None:
    one = task()
    await rig.put(one)
    assert await rig.backend.observe(native_of(one)) is Observation.QUEUED
    await rig.starter.start()
    name = await rig.native_for(one)
    assert await rig.ask(name) == one
    assert await rig.backend.observe(native_of(one)) is Observation.RUNNING
    await rig.finish(one)
    rig.world.end(name)
    await rig.looker.look()
    assert (await rig.natives())[name]["state"] == JobState.GONE
    assert (rig.world.seen, await rig.told()) == ({}, [])
    assert rig.world.started == {name: 1}
    assert await rig.backend.observe(native_of(one)) is Observation.ENDED


async def test_what_the_cluster_says_is_noted_and_written_only_when_it_is_news(rig: Rig) -> None:
    rig.world.begins_at_once = False
    one = task()
    [name] = await _started(rig, one)
    await rig.looker.look()
    sighting = await rig.backend.sight(native_of(one))
    assert sighting
    assert (sighting.state, sighting.reason, sighting.name) == ("waiting", "Resources", name)
    with rig.no_writes():
        await _looks(rig)
    rig.world.put(name, state=NativeState.RUNNING, reason="", node="n7")
    await rig.looker.look()
    sighting = await rig.backend.sight(native_of(one))
    assert sighting
    assert (sighting.state, sighting.node) == ("running", "n7")


async def test_an_attempt_is_given_out_once_to_one_incarnation(rig: Rig) -> None:
    one = task()
    [name] = await _started(rig, one)
    assert await rig.ask(name, "first") == one
    assert await rig.ask(name, "first") == one  # its answer got lost
    assert await rig.ask(name, "first", asked=2) is None
    assert await rig.ask(name, "second") is None


async def test_a_submit_hears_of_a_refusal_in_the_same_breath(rig: Rig) -> None:
    refused = task(options={"memory": {"partition": "none"}})
    await rig.know(refused)
    async with rig.kept():
        for _ in range(2):
            with pytest.raises(RefusedError, match="no partition 'none'"):
                await rig.backend.submit(refused)
        await rig.backend.submit(task())
    assert len(rig.world.seen) == 1
    assert await rig.told() == []  # who was refused knows it
    assert await rig.backend.cancel(native_of(refused)) is Cancelled.GONE


async def test_a_refusal_of_which_nobody_waits_to_hear_is_told(rig: Rig) -> None:
    one = task(options={"memory": {"partition": "none"}})
    await rig.put(one)
    await rig.starter.start()
    assert [(who, end.reason) for who, end in await rig.told()] == [(one.workload_id, Reason.REFUSED)]


# --- crashes, each step ---------------------------------------------------------------------------------------------


async def test_a_crash_before_the_name_leaves_it_waiting(rig: Rig, tmp_path: Path, nats: NatsSettings) -> None:
    one = task()
    await rig.put(one)
    async with open_rig(tmp_path, nats) as after:
        await after.starter.start()
        assert after.world.started == {await after.native_for(one): 1}


@pytest.mark.parametrize("took_effect", [True, False])
async def test_a_crash_between_start_and_record_starts_nothing_twice(
    rig: Rig, tmp_path: Path, nats: NatsSettings, took_effect: bool
) -> None:
    one = task()
    await rig.put(one)
    await rig.die_at("start" if took_effect else "before start")
    name = await rig.native_for(one)
    assert (await rig.natives())[name]["state"] == JobState.NAMED
    async with open_rig(tmp_path, nats) as after:
        await after.starter.start()
        row = (await after.natives())[name]
        assert (row["state"], row["native_id"]) == (JobState.STARTED, after.world.seen[name].native_id)
        assert after.world.started == {name: 1}
        assert after.world.calls["start"] == 1


async def test_a_start_that_broke_off_is_looked_up_before_anything_else(rig: Rig) -> None:
    rig.world.breaks_after_start = 1
    one, calls = task(), rig.world.calls
    [name] = await _started(rig, one)
    row = (await rig.natives())[name]
    assert (row["state"], row["tries"], row["error"]) == (JobState.NAMED, 1, "the connection broke off")
    await rig.age(timedelta(seconds=10))
    await rig.starter.start()
    assert (calls["look"], calls["start"], rig.world.started[name]) == (1, 1, 1)
    assert (await rig.natives())[name]["state"] == JobState.STARTED


async def test_a_look_finds_what_broke_off_too(rig: Rig) -> None:
    rig.world.breaks_after_start = 1
    [name] = await _started(rig, task())
    await rig.looker.look()
    row = (await rig.natives())[name]
    assert (row["state"], row["native_id"]) == (JobState.STARTED, "1")


async def test_a_crash_before_the_removal_removes_later(rig: Rig, tmp_path: Path, nats: NatsSettings) -> None:
    one = task()
    [name] = await _started(rig, one)
    await rig.ask(name)
    await rig.finish(one)
    rig.world.end(name)
    await rig.die_at("before remove")
    assert (await rig.natives())[name]["state"] == JobState.ENDED
    async with open_rig(tmp_path, nats) as after:
        await after.looker.look()
        assert (await after.natives())[name]["state"] == JobState.GONE
        assert after.world.seen == {}
        assert await after.told() == []


async def test_an_engine_that_stumbles_over_one_starts_the_others(rig: Rig) -> None:
    rig.world.fails_on = "bad"
    good, bad = task(), task(job_name="bad")
    await _started(rig, good, bad)
    for _ in range(2):
        await rig.age(timedelta(seconds=10))
        await rig.starter.start()
    rows = {row["name"]: row for row in (await rig.natives()).values()}
    assert rows[await rig.native_for(good)]["state"] == JobState.STARTED
    assert "a bug" in rows[await rig.native_for(bad)]["error"]


# --- away -----------------------------------------------------------------------------------------------------------


async def test_a_cluster_that_is_away_for_long_loses_nothing(rig: Rig) -> None:
    before, meanwhile = task(), task()
    [name] = await _started(rig, before)
    await rig.ask(name)
    rig.world.away = "no route to host"
    async with rig.kept():
        await rig.put(meanwhile)
        await asyncio.sleep(0.5)
        assert await rig.backend.observe(native_of(before)) is Observation.RUNNING
        assert await rig.backend.observe(native_of(meanwhile)) is Observation.QUEUED
        with pytest.raises(UnavailableError, match="no route"):
            await rig.backend.capacity()
        rig.world.away = ""
        await rig.until(lambda: len(rig.world.seen) == 2, seconds=10)
    assert await rig.told() == []


# --- ends without a last word ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ending", "told"),
    [
        (None, Reason.LOST),
        (Reason.LOST, Reason.LOST),
        (Reason.INTERRUPTED, Reason.INTERRUPTED),
        (Reason.MEMORY, Reason.MEMORY),
        (Reason.WALLTIME, Reason.WALLTIME),
        (Reason.CANCELED, Reason.CANCELED),
    ],
)
async def test_an_end_without_a_last_word_is_told_in_the_words_of_the_cluster(
    rig: Rig, ending: Reason | None, told: Reason
) -> None:
    one = task()
    [name] = await _started(rig, one)
    await rig.ask(name)
    rig.world.end(name, ending, None, "node n1 failed")
    await rig.looker.look()
    [(who, end)] = await rig.told()
    assert (who, end.attempt, end.reason) == (one.workload_id, 1, told)
    assert end.message == f"the native job {name}: node n1 failed"
    assert await rig.backend.observe(native_of(one)) is (None if told is Reason.LOST else Observation.ENDED)
    await _looks(rig)
    assert len(await rig.told()) == 1


async def test_a_report_that_waits_to_be_read_is_waited_for(rig: Rig) -> None:
    one = task()
    [name] = await _started(rig, one)
    await rig.ask(name)
    await rig.say(one)
    rig.world.end(name)
    await _looks(rig)
    assert (await rig.told(), (await rig.natives())[name]["state"]) == ([], JobState.STARTED)
    await rig.finish(one)
    await rig.looker.look()
    assert (await rig.told(), (await rig.natives())[name]["state"]) == ([], JobState.GONE)


async def test_what_the_cluster_forgot_is_lost_but_not_after_one_look(rig: Rig) -> None:
    one = task()
    [name] = await _started(rig, one)
    await rig.ask(name)
    await _long_ago(rig)
    shown = rig.world.seen.pop(name)
    await rig.looker.look()
    rig.world.seen[name] = shown
    await rig.looker.look()
    assert await rig.told() == []
    rig.world.forget(name)
    await _looks(rig, 2)
    [(_, end)] = await rig.told()
    assert (end.reason, end.message) == (
        Reason.LOST,
        f"the native job {name}: the cluster knows nothing of it any more",
    )


async def test_a_job_that_ends_before_its_pilot_asked_is_started_again_a_few_times(rig: Rig) -> None:
    one = task()
    await rig.put(one)
    for _ in range(4):
        await rig.starter.start()
        rig.world.end(await rig.native_for(one), None, 92)
        await rig.looker.look()
    assert len(rig.world.started) == 4
    [(_, end)] = await rig.told()
    assert end.reason is Reason.LOST
    assert end.message.endswith("the pilot could not be fetched there; so it went 4 times")


async def test_a_node_without_python_is_a_refusal(rig: Rig) -> None:
    one = task()
    [name] = await _started(rig, one)
    rig.world.end(name, None, 91)
    await rig.looker.look()
    [(_, end)] = await rig.told()
    assert (end.reason, "no Python 3.9" in end.message) == (Reason.REFUSED, True)


async def test_a_job_that_the_cluster_begins_anew_was_interrupted(rig: Rig) -> None:
    one = task()
    [name] = await _started(rig, one)
    await rig.ask(name)
    rig.world.put(name, state=NativeState.WAITING, reason="BeginTime")
    await _looks(rig)
    [(_, end)] = await rig.told()
    assert (end.reason, rig.world.seen) == (Reason.INTERRUPTED, {})


# --- to its end -----------------------------------------------------------------------------------------------------


async def test_what_waits_is_gone_at_once_and_is_not_started(rig: Rig) -> None:
    one = task()
    await rig.put(one)
    assert await rig.backend.cancel(native_of(one)) is Cancelled.GONE
    await rig.starter.start()
    assert (rig.world.seen, await rig.told()) == ({}, [])


async def test_gone_is_said_when_it_was_seen_gone(rig: Rig) -> None:
    rig.world.stops_at_once = False
    one = task()
    [name] = await _started(rig, one)
    async with rig.kept():
        assert await rig.backend.take_back(native_of(one)) is Cancelled.ENDING
        assert await rig.ask(name) is None  # it is given to nobody any more
        rig.world.end(name, Reason.CANCELED, None)
        await rig.until(lambda: not rig.world.seen)
        assert await rig.backend.take_back(native_of(one)) is Cancelled.GONE
    [(_, end)] = await rig.told()
    assert end.reason is Reason.CANCELED


async def test_what_a_pilot_has_is_not_taken_back(rig: Rig) -> None:
    one = task()
    [name] = await _started(rig, one)
    await rig.ask(name)
    assert await rig.backend.take_back(native_of(one)) is None


async def test_a_canceled_attempt_whose_pilot_says_nothing_more_ends_as_canceled(rig: Rig) -> None:
    one = task()
    [name] = await _started(rig, one)
    await rig.ask(name)
    assert await rig.backend.cancel(native_of(one)) is Cancelled.ENDING
    await _looks(rig)
    assert [end.reason for _, end in await rig.told()] == [Reason.CANCELED]
    assert await rig.backend.cancel(native_of(one)) is Cancelled.GONE


async def test_what_cannot_be_started_can_be_canceled(rig: Rig) -> None:
    rig.world.away = "no route to host"
    one = task()
    await _started(rig, one)
    assert await rig.backend.cancel(native_of(one)) is Cancelled.ENDING
    rig.world.away = ""
    await rig.age(timedelta(seconds=10))
    await rig.starter.start()
    assert (rig.world.started, [end.reason for _, end in await rig.told()]) == ({}, [Reason.CANCELED])


# --- orphans --------------------------------------------------------------------------------------------------------


async def test_orphans_are_stopped_and_those_of_others_are_not(rig: Rig) -> None:
    one = task()
    [name] = await _started(rig, one)
    other = rig.world.seen[name]
    ours, theirs = f"{rig.cluster.prefix}-{'0' * 32}-1", f"other-{'0' * 32}-1"
    rig.world.seen |= {ours: rig.world.renamed(other, ours), theirs: rig.world.renamed(other, theirs)}
    await rig.looker.look()
    assert rig.cluster.orphans.keys() == {ours}
    assert rig.world.alive == [name, theirs]
    await rig.looker.look()
    assert rig.cluster.orphans == {}


async def test_a_job_that_runs_on_after_all_has_ended_is_stopped(rig: Rig) -> None:
    one = task()
    [name] = await _started(rig, one)
    await rig.ask(name)
    await rig.finish(one)
    await rig.looker.look()
    assert rig.world.alive == [name]
    await _long_ago(rig)
    rig.looker.sweep_soon()
    await _looks(rig)
    assert (rig.world.seen, await rig.told()) == ({}, [])


async def test_after_a_restore_what_runs_is_taken_up_again(rig: Rig, tmp_path: Path, nats: NatsSettings) -> None:
    waits, runs, over = task(), task(), task()
    names = await _started(rig, waits, runs, over)
    await rig.ask(names[1])
    await rig.lose_rows()
    await rig.stand(runs, WorkloadState.RUNNING)
    await rig.stand(over, WorkloadState.CANCELED)
    async with open_rig(tmp_path, nats) as after:
        assert await after.backend.observe(native_of(waits)) is Observation.RUNNING
        assert await after.backend.observe(native_of(task())) is None
        await after.looker.look()
        assert await after.backend.observe(native_of(waits)) is Observation.QUEUED
        assert await after.backend.observe(native_of(runs)) is Observation.RUNNING
        assert after.world.alive == names[:2]
        given = await after.ask(names[0])
        assert given
        assert (given.workload_id, given.argv) == (waits.workload_id, ["true"])
        assert await after.ask(names[1], "one", asked=2) is None


# --- packs ----------------------------------------------------------------------------------------------------------


async def test_small_jobs_of_one_owner_and_project_go_together(packing: Rig) -> None:
    mine = [task() for _ in range(4)]
    others = [task(owner="bob"), task(project="demo"), task(walltime=1000), task(cpus=2), task(gpus=1)]
    await packing.put(*mine, *others)
    await packing.starter.start()
    names = [await packing.native_for(one) for one in mine]
    assert names[0] == names[1] == names[2] != names[3]
    assert len({await packing.native_for(one) for one in others} | set(names)) == 7
    order = packing.world.orders[names[0]]
    assert (order.cpus, order.walltime) == (2, 2 * 60 + 300)
    assert [await packing.ask(names[0], asked=number) for number in range(1, 5)] == [*mine[:3], None]


async def test_one_of_a_pack_ends_without_the_others(packing: Rig) -> None:
    first, second = task(), task()
    name, _ = await _started(packing, first, second)
    await packing.ask(name)
    await packing.ask(name, asked=2)
    assert await packing.backend.cancel(native_of(first)) is Cancelled.ENDING
    await packing.looker.look()
    assert packing.world.alive == [name]
    assert await packing.to_end(name) == [(first.workload_id, Reason.CANCELED)]
    await packing.age(timedelta(seconds=90))  # the pilot does not obey
    packing.looker.sweep_soon()
    await _looks(packing)
    assert packing.world.alive == []
    told = {who: end.reason for who, end in await packing.told()}
    assert told == {first.workload_id: Reason.CANCELED, second.workload_id: Reason.INTERRUPTED}


async def test_what_a_pack_did_not_come_to_goes_alone(packing: Rig) -> None:
    first, second = task(), task()
    name, _ = await _started(packing, first, second)
    await packing.ask(name)
    await packing.finish(first)
    packing.world.end(name, Reason.WALLTIME)
    await packing.looker.look()
    assert (await packing.attempt(second))["state"] == AttemptState.WAITING
    await packing.starter.start()
    assert (await packing.native_for(second)).endswith("-1r1")
    assert await packing.told() == []


async def test_a_pack_that_is_refused_is_tried_one_by_one(packing: Rig) -> None:
    packing.world.cpus = 1
    first, second = task(), task()
    await _started(packing, first)
    await packing.put(second, third := task())
    await packing.starter.start()
    await packing.starter.start()
    names = [await packing.native_for(one) for one in (second, third)]
    assert [name.endswith("-1r1") for name in names] == [True, True]


async def test_no_task_is_given_that_would_outlast_its_pack(packing: Rig) -> None:
    first, second = task(), task()
    name, _ = await _started(packing, first, second)
    await packing.ask(name)
    async with packing.unit.begin(CONTEXT) as work:
        claimed = now() - timedelta(seconds=390)
        await work.connection.execute(update(METADATA.tables["natives"]).values(claimed_at=claimed))
    assert await packing.ask(name, asked=2) is None


async def test_a_bundle_is_a_native_job_and_some_of_its_tasks_may_end(packing: Rig) -> None:
    bundle = task(bundle=RunBundle(indices="0-4"))
    [name] = await _started(packing, bundle)
    assert (packing.world.orders[name].cpus, packing.world.orders[name].walltime) == (2, 3 * 60 + 300)
    await packing.ask(name)
    assert await packing.backend.cancel(native_of(bundle), "1-2") is Cancelled.ENDING
    assert await packing.backend.cancel(native_of(bundle), "4") is Cancelled.ENDING
    row = await packing.attempt(bundle)
    assert (row["part"], row["ending"]) == ("1-2,4", None)


# --- two schedulers -------------------------------------------------------------------------------------------------


async def test_one_process_keeps_a_backend_and_the_next_takes_over(
    rig: Rig, tmp_path: Path, nats: NatsSettings
) -> None:
    async with open_rig(tmp_path, nats) as other:
        async with rig.kept():
            await rig.until(lambda: rig.world.calls["look"] > 0)
            async with other.kept():
                one = task()
                await other.know(one)
                await other.backend.submit(one)  # who keeps it hears of it
                await rig.until(lambda: len(rig.world.seen) == 1, seconds=2)
                assert not await other.keeper.keepership.hold()
        async with other.kept():
            await other.until(lambda: len(rig.world.seen) == 1)
            assert await other.keeper.keepership.hold()
    assert list(rig.world.started.values()) == [1]


async def test_a_keeper_that_fell_silent_is_followed_without_looking_at_its_clock(
    rig: Rig, tmp_path: Path, nats: NatsSettings
) -> None:
    assert await rig.keeper.keepership.hold()
    async with open_rig(tmp_path, nats, patience=0.2) as other:
        assert not await other.keeper.keepership.hold()
        await asyncio.sleep(0.3)
        assert await other.keeper.keepership.hold()
    rig.keeper.keepership.doubt()
    assert not await rig.keeper.keepership.hold()


# --- upkeep ---------------------------------------------------------------------------------------------------------


async def test_what_ended_long_ago_is_forgotten(rig: Rig) -> None:
    old, fresh = task(), task()
    await _started(rig, old, fresh)
    for one in (old, fresh):
        name = await rig.native_for(one)
        await rig.ask(name)
        await rig.finish(one)
        rig.world.end(name)
    await rig.looker.look()
    async with rig.unit.begin(CONTEXT) as work:
        past = {"ended_at": now() - timedelta(days=8)}
        mine = native_attempts.c.workload_id == old.workload_id
        await work.connection.execute(update(native_attempts).where(mine).values(**past))
        await work.connection.execute(update(METADATA.tables["natives"]).values(**past))
    rig.looker.sweep_soon()
    await rig.looker.look()
    assert [row.workload_id for row in await rig.attempts()] == [fresh.workload_id]
    assert len(await rig.natives()) == 1
