"""The keeper of a cluster when it dies at any step, its cluster is away, its table is restored, or it is not alone."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from time import monotonic

import pytest

from contracts.errors import UnavailableError
from contracts.states import WorkloadState
from services.chassis.settings import NatsSettings
from services.scheduler.backends.base import Observation
from services.scheduler.backends.engines.base import NativeState
from services.scheduler.backends.registry import Backends
from services.scheduler.natives import keeper
from services.scheduler.natives.probing import NativeProbes
from services.scheduler.natives.words import JobState
from tests.support.clusters import Rig, native_of, open_rig, task


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
        assert after.world.orders[name].fresh is took_effect  # as it was told to the call that began it


async def test_a_start_that_broke_off_is_looked_up_before_anything_else(rig: Rig) -> None:
    rig.world.breaks_after_start = 1
    one, calls = task(), rig.world.calls
    [name] = await rig.started(one)
    row = (await rig.natives())[name]
    assert (row["state"], row["tries"], row["error"]) == (JobState.NAMED, 1, "the connection broke off")
    await rig.age(timedelta(seconds=10))
    await rig.starter.start()
    assert (calls["look"], calls["start"], rig.world.started[name]) == (1, 1, 1)
    assert (await rig.natives())[name]["state"] == JobState.STARTED


async def test_a_look_finds_what_broke_off_too(rig: Rig) -> None:
    rig.world.breaks_after_start = 1
    [name] = await rig.started(task())
    await rig.looker.look()
    row = (await rig.natives())[name]
    assert (row["state"], row["native_id"]) == (JobState.STARTED, "1")


async def test_a_crash_before_the_removal_removes_later(rig: Rig, tmp_path: Path, nats: NatsSettings) -> None:
    one = task()
    [name] = await rig.started(one)
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
    await rig.started(good, bad)
    for _ in range(2):
        await rig.age(timedelta(seconds=10))
        await rig.starter.start()
    rows = {row["name"]: row for row in (await rig.natives()).values()}
    assert rows[await rig.native_for(good)]["state"] == JobState.STARTED
    assert "a bug" in rows[await rig.native_for(bad)]["error"]


async def test_a_cluster_that_is_away_for_long_loses_nothing(rig: Rig) -> None:
    before, meanwhile = task(), task()
    [name] = await rig.started(before)
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


async def test_orphans_are_stopped_and_those_of_others_are_not(rig: Rig) -> None:
    one = task()
    [name] = await rig.started(one)
    other = rig.world.seen[name]
    ours, theirs = f"{rig.cluster.prefix}-{'0' * 32}-1", f"other-{'0' * 32}-1"
    rig.world.seen |= {ours: rig.world.renamed(other, ours), theirs: rig.world.renamed(other, theirs)}
    await rig.looker.look()
    assert rig.cluster.orphans.keys() == {ours}
    assert rig.world.alive == [name, theirs]
    await rig.looker.look()
    assert rig.cluster.orphans == {}


async def test_the_doctor_sees_what_cannot_be_started_and_what_does_not_end(rig: Rig) -> None:
    probes = NativeProbes(unit=rig.unit, backends=Backends([rig.backend]))
    rig.world.away = "no route to host"
    await rig.started(task(), task())
    assert await probes.natives() == []  # it may be over in a moment
    await rig.age(timedelta(seconds=90))
    [stuck] = await probes.natives()
    assert (stuck.code, stuck.part, stuck.cause) == ("natives-not-started", "hpc", "no route to host")
    rig.world.away, rig.world.stops_at_once = "", False
    rig.cluster.orphans["an-orphan"] = monotonic() - 90
    await rig.starter.start()
    [orphans] = await probes.natives()
    assert (orphans.code, orphans.evidence) == ("native-orphans", ["an-orphan"])


async def test_what_is_left_of_orphans_that_ended_is_removed(rig: Rig) -> None:
    [name] = await rig.started(task())
    ours, theirs = f"{rig.cluster.prefix}-{'0' * 32}-1", f"other-{'0' * 32}-1"
    ended = replace(rig.world.seen[name], state=NativeState.ENDED, exit_code=0)
    rig.world.seen |= {one: replace(ended, name=one) for one in (ours, theirs)}
    rig.looker.sweep_soon()
    await rig.looker.look()
    assert rig.world.seen.keys() == {name, theirs}


async def test_a_job_that_runs_on_after_all_has_ended_is_stopped(rig: Rig) -> None:
    one = task()
    [name] = await rig.started(one)
    await rig.ask(name)
    await rig.finish(one)
    await rig.looker.look()
    assert rig.world.alive == [name]
    await rig.age(timedelta(seconds=90))
    rig.looker.sweep_soon()
    await rig.looks()
    assert (rig.world.seen, await rig.told()) == ({}, [])


async def test_after_a_restore_what_runs_is_taken_up_again(rig: Rig, tmp_path: Path, nats: NatsSettings) -> None:
    waits, runs, over = task(), task(), task()
    names = await rig.started(waits, runs, over)
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


async def test_one_process_keeps_a_backend_and_the_next_takes_over(
    rig: Rig, tmp_path: Path, nats: NatsSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "_AGAIN", 600.0)  # it looks because it hears of it
    async with open_rig(tmp_path, nats) as other:
        async with rig.kept():
            await rig.until(lambda: rig.world.calls["look"] > 0)
            async with other.kept():
                one = task()
                await other.know(one)
                await other.backend.submit(one)  # who keeps it hears of it
                await rig.until(lambda: len(rig.world.seen) == 1)
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
