"""The keeper of a cluster: what waits is started once, what ends is told, what is not wanted is stopped."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from unittest.mock import patch

import pytest
from sqlalchemy import RowMapping, update

from contracts.errors import RefusedError
from contracts.model import now
from contracts.states import Reason
from services.scheduler.backends import cluster
from services.scheduler.backends.base import Cancelled, Observation
from services.scheduler.backends.engines.base import NativeState
from services.scheduler.natives.bell import Bell
from services.scheduler.natives.ending import Outcome
from services.scheduler.natives.words import JobState
from services.scheduler.tables import METADATA, native_attempts
from tests.support.clusters import CONTEXT, Rig, native_of, task


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
    [name] = await rig.started(one)
    await rig.looker.look()
    sighting = await rig.backend.sight(native_of(one))
    assert sighting
    assert (sighting.state, sighting.reason, sighting.name) == ("waiting", "Resources", name)
    with rig.no_writes():
        await rig.looks()
    rig.world.put(name, state=NativeState.RUNNING, reason="", node="n7")
    await rig.looker.look()
    sighting = await rig.backend.sight(native_of(one))
    assert sighting
    assert (sighting.state, sighting.node) == ("running", "n7")


async def test_an_attempt_is_given_out_once_to_one_incarnation(rig: Rig) -> None:
    one = task()
    [name] = await rig.started(one)
    assert await rig.ask(name, "first") == one
    assert await rig.ask(name, "first") == one  # its answer got lost
    assert await rig.ask(name, "first", asked=2) is None
    assert await rig.ask(name, "second") is None


async def test_a_submit_hears_of_a_refusal_in_the_same_breath(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_PATIENCE", 30.0)  # a busy machine may need more than the two seconds of a breath
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
    [name] = await rig.started(one)
    await rig.ask(name)
    rig.world.end(name, ending, None, "node n1 failed")
    await rig.looker.look()
    [(who, end)] = await rig.told()
    assert (who, end.attempt, end.reason) == (one.workload_id, 1, told)
    assert end.message == f"the native job {name}: node n1 failed"
    assert await rig.backend.observe(native_of(one)) is (None if told is Reason.LOST else Observation.ENDED)
    await rig.looks()
    assert len(await rig.told()) == 1


async def test_a_report_that_waits_to_be_read_is_waited_for(rig: Rig) -> None:
    one = task()
    [name] = await rig.started(one)
    await rig.ask(name)
    await rig.say(one)
    rig.world.end(name)
    await rig.looks()
    assert (await rig.told(), (await rig.natives())[name]["state"]) == ([], JobState.STARTED)
    await rig.finish(one)
    await rig.looker.look()
    assert (await rig.told(), (await rig.natives())[name]["state"]) == ([], JobState.GONE)


async def test_what_the_cluster_forgot_is_lost_but_not_after_one_look(rig: Rig) -> None:
    one = task()
    [name] = await rig.started(one)
    await rig.ask(name)
    await rig.age(timedelta(seconds=90))
    shown = rig.world.seen.pop(name)
    await rig.looker.look()
    rig.world.seen[name] = shown
    await rig.looker.look()
    assert await rig.told() == []
    rig.world.forget(name)
    await rig.looks(2)
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
    [name] = await rig.started(one)
    rig.world.end(name, None, 91)
    await rig.looker.look()
    [(_, end)] = await rig.told()
    assert (end.reason, "no Python 3.9" in end.message) == (Reason.REFUSED, True)


async def test_a_job_that_the_cluster_begins_anew_was_interrupted(rig: Rig) -> None:
    one = task()
    [name] = await rig.started(one)
    await rig.ask(name)
    rig.world.put(name, state=NativeState.WAITING, reason="BeginTime")
    await rig.looks()
    [(_, end)] = await rig.told()
    assert (end.reason, rig.world.seen) == (Reason.INTERRUPTED, {})


async def test_what_waits_is_gone_at_once_and_is_not_started(rig: Rig) -> None:
    one = task()
    await rig.put(one)
    assert await rig.backend.cancel(native_of(one)) is Cancelled.GONE
    await rig.starter.start()
    assert (rig.world.seen, await rig.told()) == ({}, [])


async def test_gone_is_said_when_it_was_seen_gone(rig: Rig) -> None:
    rig.world.stops_at_once = False
    one = task()
    [name] = await rig.started(one)
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
    [name] = await rig.started(one)
    await rig.ask(name)
    assert await rig.backend.take_back(native_of(one)) is None


async def test_a_canceled_attempt_whose_pilot_says_nothing_more_ends_as_canceled(rig: Rig) -> None:
    one = task()
    [name] = await rig.started(one)
    await rig.ask(name)
    assert await rig.backend.cancel(native_of(one)) is Cancelled.ENDING
    await rig.looks()
    assert [end.reason for _, end in await rig.told()] == [Reason.CANCELED]
    assert await rig.backend.cancel(native_of(one)) is Cancelled.GONE


async def test_what_cannot_be_started_can_be_canceled(rig: Rig) -> None:
    rig.world.away = "no route to host"
    one = task()
    await rig.started(one)
    assert await rig.backend.cancel(native_of(one)) is Cancelled.ENDING
    rig.world.away = ""
    await rig.age(timedelta(seconds=10))
    await rig.starter.start()
    assert (rig.world.started, [end.reason for _, end in await rig.told()]) == ({}, [Reason.CANCELED])


async def test_what_ended_long_ago_is_forgotten(rig: Rig) -> None:
    old, fresh = task(), task()
    await rig.started(old, fresh)
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


async def test_an_attempt_that_its_pilot_got_while_its_native_job_was_settled_is_lost(rig: Rig) -> None:
    one = task()
    [name] = await rig.started(one)
    settle = rig.ender.settle

    async def late(outcome: Outcome, attempts: Sequence[RowMapping], bell: Bell) -> bool:
        """Settle what was read before the last question of the pilot was answered."""
        assert await rig.ask(name)
        return await settle(outcome, attempts, bell)

    rig.world.end(name, Reason.LOST, None)
    with patch.object(rig.ender, "settle", late):
        await rig.looker.look()
    await rig.looks()
    assert [(workload, end.reason) for workload, end in await rig.told()] == [(one.workload_id, Reason.LOST)]
    assert (await rig.natives())[name]["state"] == JobState.GONE
