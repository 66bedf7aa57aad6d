"""Callbacks and subscriptions on a real NATS, a real Temporal and a real receiver, with a runner that pretends."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
import yaml
from sqlalchemy import update

from contracts.envelope import Context
from contracts.errors import ConflictError, InvalidError, NotFoundError
from contracts.hook_commands import DeleteSubscription, PauseSubscription, ResumeSubscription
from contracts.hook_events import DeliveryDead, DeliveryRedelivered, SubscriptionCreated
from contracts.identity_events import UserDisabled
from contracts.model import now
from contracts.states import WorkloadState
from contracts.subscriptions import DeliveryState, SubscriptionState
from services.chassis.bus import Bus
from services.chassis.database import close_engine, make_engine
from services.chassis.settings import NatsSettings
from services.scheduler.settings import SchedulerSettings
from services.scheduler.tables import deliveries
from services.scheduler.temporal import connect
from services.scheduler.webhooks.sending import sign
from tests.support.databases import bring_schema, lose
from tests.support.hooks import Got, Hooker, Receiver, Says, allowing, facts, run_receiver, sealed
from tests.support.runner import FakeRunner
from tests.support.scheduler import ADMIN, BOB, User, run_scheduler, scheduler_settings

LIFE = ["accepted", "queued", "running", "finishing", "succeeded"]
SECRET = "a-secret-that-must-not-be-seen-anywhere"


@pytest.fixture
def settings(tmp_path: Path, nats: NatsSettings, temporal: str) -> SchedulerSettings:
    return allowing(scheduler_settings(tmp_path, nats, temporal, every=0.1, silence=5), attempts=3)


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with run_receiver() as receiver:
        yield receiver


def _files_with(word: bytes, folder: Path) -> list[Path]:
    """Return the files below a folder that hold a word: databases, streams, logs."""
    return [path for path in folder.rglob("*") if path.is_file() and word in path.read_bytes()]


async def test_a_jobs_moves_arrive_in_order_and_are_signed(user: User, receiver: Receiver) -> None:
    callback = {"url": receiver.url("/in?a=b"), "secret": sealed(SECRET)}
    job = await user.submit(callback=callback)
    assert job.spec.callback is not None
    assert job.spec.callback.secret is None
    await user.until(job.id)
    got = await receiver.until(len(LIFE))
    assert [one.word for one in got] == LIFE
    for one in got:
        digest = hmac.new(SECRET.encode(), one.body, hashlib.sha256).hexdigest()
        assert one.headers["x-hub-signature-256"] == f"sha256={digest}"
        assert one.headers["content-type"] == "application/cloudevents+json; charset=utf-8"
        assert one.headers["ce-id"] == one.event["id"]
        assert one.headers["shunter-attempt"] == "1"
        assert one.headers["host"] == f"127.0.0.1:{receiver.port}"
        assert one.path == "/in?a=b"
        assert one.event["specversion"] == "1.0"
        assert one.event["subject"] == job.id
        assert SECRET.encode() not in one.body
        assert b"sealed" not in one.body


async def test_only_the_states_that_are_wanted_are_told(user: User, receiver: Receiver) -> None:
    job = await user.submit(callback={"url": receiver.url(), "events": ["running", "succeeded"]})
    await user.until(job.id)
    await receiver.until(2)
    again = await user.submit(callback={"url": receiver.url("/last"), "events": ["succeeded"]})
    await receiver.until(1, path="/last")
    assert receiver.words("/") == ["running", "succeeded"]
    assert receiver.words("/last") == ["succeeded"]
    assert again.id != job.id


async def test_the_next_event_waits_until_the_one_before_arrived(user: User, receiver: Receiver) -> None:
    def stumble(got: Got) -> Says:
        tries = sum(one.body == got.body for one in receiver.got)
        return Says(503, (("retry-after", "0"),)) if tries < 3 else Says()

    receiver.answer = stumble
    job = await user.submit(callback={"url": receiver.url()})
    await user.until(job.id)
    got = await receiver.until(3 * len(LIFE))
    assert [one.word for one in got] == [word for word in LIFE for _ in range(3)]
    assert [one.headers["shunter-attempt"] for one in got[:3]] == ["1", "2", "3"]
    assert len({one.headers["ce-id"] for one in got}) == len(LIFE)


async def test_a_dead_letter_is_told_and_can_be_sent_again(user: User, bus: Bus, receiver: Receiver) -> None:
    receiver.answer = lambda _: Says(500)
    job = await user.submit(callback={"url": receiver.url(), "events": ["succeeded"]})
    await user.until(job.id)
    (dead,) = await Hooker(bus).until(1, states=[DeliveryState.DEAD])
    assert (dead.attempts, dead.status, dead.error, dead.workload_id) == (3, 500, "answered 500", job.id)
    with pytest.raises(NotFoundError):
        await Hooker(bus, BOB).redeliver(dead.id)
    receiver.answer = lambda _: Says()
    assert (await Hooker(bus).redeliver(dead.id)).state is DeliveryState.WAITING
    (done,) = await Hooker(bus).until(1, states=[DeliveryState.DELIVERED])
    assert (done.id, done.event_id) == (dead.id, dead.event_id)
    assert len({one.headers["ce-id"] for one in receiver.got}) == 1
    with pytest.raises(ConflictError):
        await Hooker(bus).redeliver(dead.id)
    assert await facts(bus, "delivery", 2) == [
        kind.name.partition(".")[2] for kind in (DeliveryDead, DeliveryRedelivered)
    ]


@pytest.mark.own_stores("it reads the files of its stores")
async def test_a_secret_is_nowhere_in_the_clear(
    user: User, bus: Bus, receiver: Receiver, settings: SchedulerSettings, tmp_path: Path
) -> None:
    job = await user.submit(callback={"url": receiver.url(), "secret": sealed(SECRET)})
    made = await Hooker(bus).create(url=receiver.url("/sub"), secret=sealed(SECRET), job=job.id)
    await user.until(job.id)
    again = await user.order_retry(job.id)
    await receiver.until(2 * len(LIFE), path="/")
    assert all("x-hub-signature-256" in one.headers for one in receiver.got)
    assert made.signed
    assert made.spec.secret is None
    client = await connect(settings.scheduler.temporal)
    for line in (job.id, again.id, f"{made.id}/{job.id}"):
        history = await client.get_workflow_handle(f"hook/{line}").fetch_history()
        raw = b"".join(event.SerializeToString() for event in history.events)
        assert line.encode() in raw
        assert SECRET.encode() not in raw
    # Streams and databases as they lie on the disk.
    assert {path.suffix for path in await asyncio.to_thread(_files_with, job.id.encode(), tmp_path)} >= {".blk"}
    assert await asyncio.to_thread(_files_with, SECRET.encode(), tmp_path) == []


async def test_a_target_that_is_gone_is_told_nothing_more(user: User, bus: Bus, receiver: Receiver) -> None:
    receiver.answer = lambda _: Says(410)
    made = await Hooker(bus).create(url=receiver.url(), types=["workload.moved"])
    await user.until((await user.submit()).id)
    (dead, *_) = await Hooker(bus).until(1, states=[DeliveryState.DEAD])
    paused = await Hooker(bus).get(made.id)
    assert (paused.state, paused.reason) == (SubscriptionState.PAUSED, "its target answered 410 Gone")
    assert dead.subscription_id == made.id
    receiver.answer = lambda _: Says()
    await Hooker(bus).steer(ResumeSubscription, made.id)
    await user.submit()  # what happened while it was paused is never told; perhaps nothing waits any more
    await Hooker(bus).until(1, states=[DeliveryState.DELIVERED])


async def test_subscriptions_send_what_fits_and_their_owner_may_see(user: User, bus: Bus, receiver: Receiver) -> None:
    hooker = Hooker(bus)
    await hooker.create(url=receiver.url("/ends"), states=["succeeded"], labels={"team": "x"})
    await hooker.create(url=receiver.url("/named"), job_name="mine", types=["workload.accepted"])
    await Hooker(bus, BOB).create(url=receiver.url("/bob"))
    await Hooker(bus, ADMIN).create(url=receiver.url("/all"), of="visible", types=["workload.moved"])
    await Hooker(bus, ADMIN).create(url=receiver.url("/own"), types=["workload"])
    await user.submit(name="other")
    await user.submit(name="mine", labels={"team": "x"})
    await receiver.until(1, path="/ends")
    await receiver.until(1, path="/named")
    await receiver.until(2 * (len(LIFE) - 1), path="/all")
    assert receiver.words("/ends") == ["succeeded"]
    assert receiver.words("/named") == ["accepted"]
    assert sorted(receiver.words("/all")) == sorted(2 * LIFE[1:])
    assert not receiver.words("/own")
    assert {one.event["owner"] for one in receiver.got if one.path == "/bob"} <= {"bob"}


async def test_a_subscription_is_made_changed_paused_tried_and_deleted(
    user: User, bus: Bus, receiver: Receiver
) -> None:
    hooker = Hooker(bus)
    made = await hooker.create(url=receiver.url("/a"), secret=sealed(SECRET), name="one", types=["workload"])
    changed = await hooker.replace(made.id, revision=1, url=receiver.url("/a"), name="two", types=["workload"])
    assert (changed.revision, changed.signed, changed.spec.name) == (2, True, "two")
    with pytest.raises(ConflictError):
        await hooker.replace(made.id, revision=1, url=receiver.url("/a"))
    assert not (await hooker.replace(made.id, url=receiver.url("/b"), types=["workload"])).signed
    await hooker.steer(PauseSubscription, made.id)
    ping = await hooker.test(made.id)
    (got,) = await receiver.until(1, path="/b")
    assert (got.event["type"], got.event["id"]) == ("org.shunter.ping.v1", ping.event_id)
    await user.until((await user.submit()).id)
    await hooker.steer(ResumeSubscription, made.id)
    await user.until((await user.submit()).id)
    await receiver.until(1 + len(LIFE), path="/b")
    with pytest.raises(NotFoundError):
        await Hooker(bus, BOB).get(made.id)
    assert [one.id for one in await Hooker(bus, ADMIN).all()] == [made.id]
    await hooker.steer(DeleteSubscription, made.id)
    assert await hooker.all() == []
    told = await facts(bus, "subscription", 6)
    assert told[0] == SubscriptionCreated.name.partition(".")[2]
    assert told.count("changed") == 4
    assert told[-1] == "deleted"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://hooks.example.org/", "scheduler.webhooks.allow"),
        ("http://127.0.0.1/", "scheduler.webhooks.allow"),
        ("http://[::ffff:127.0.0.1]/", "scheduler.webhooks.allow"),
    ],
)
async def test_a_site_that_allows_nothing_says_what_its_operator_must_set(
    tmp_path: Path, nats: NatsSettings, temporal: str, bus: Bus, url: str, said: str
) -> None:
    async with run_scheduler(scheduler_settings(tmp_path, nats, temporal)):
        with pytest.raises(InvalidError, match=said) as refused:
            await User(bus).submit(callback={"url": url})
        assert refused.value.errors[0].field == "callback.url"
        with pytest.raises(InvalidError, match=said):
            await Hooker(bus).create(url=url)
        assert await facts(bus, "workload", 0) == []


async def test_a_secret_in_the_clear_does_not_come_in(user: User, receiver: Receiver) -> None:
    with pytest.raises(InvalidError, match="sealed"):
        await user.submit(callback={"url": receiver.url(), "secret": SECRET})
    with pytest.raises(InvalidError, match="no format"):
        await user.submit(callback={"url": receiver.url(), "format": "morse"})


async def test_nothing_is_lost_when_the_scheduler_dies(
    settings: SchedulerSettings, bus: Bus, runner: FakeRunner, receiver: Receiver
) -> None:
    receiver.answer = lambda _: Says(500)
    settings.scheduler.webhooks.attempts = 50
    async with run_scheduler(settings):
        job = await User(bus).submit(callback={"url": receiver.url()})
        await User(bus).until(job.id)
        await receiver.until(2)
    receiver.answer = lambda _: Says()
    before = len(receiver.got)
    async with run_scheduler(settings):
        await receiver.until(before + len(LIFE), seconds=60)
        await Hooker(bus).until(len(LIFE), states=[DeliveryState.DELIVERED])
    assert receiver.words() == LIFE
    assert len({one.headers["ce-id"] for one in receiver.got}) == len(LIFE)


def _config(settings: SchedulerSettings, folder: Path) -> Path:
    """Write the settings of a scheduler that is a process of its own."""
    written = settings.model_dump(mode="json", exclude={"ticket_key"}, exclude_none=True)
    path = folder / "shunter.yaml"
    path.write_text(yaml.safe_dump({**written, "ticket_key": settings.ticket_key.get_secret_value()}))
    return path


@asynccontextmanager
async def _process(config: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.scheduler.main"),
        env={**os.environ, "SHUNTER_CONFIG": str(config)},
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_scheduler_that_is_killed_while_it_sends_sends_the_same_again(
    settings: SchedulerSettings, bus: Bus, runner: FakeRunner, receiver: Receiver, tmp_path: Path
) -> None:
    receiver.answer = lambda _: Says(pause=0.7)
    await bring_schema("scheduler", settings.database_url)
    config = await asyncio.to_thread(_config, settings, tmp_path)
    async with _process(config) as process:
        job = await User(bus).submit(callback={"url": receiver.url()})
        # The second one is on its way, and what came of it will not be written down.
        await receiver.until(2, seconds=60)
        process.kill()
        await process.wait()
    async with _process(config):
        await Hooker(bus).until(len(LIFE), seconds=60, states=[DeliveryState.DELIVERED])
        assert (await User(bus).until(job.id)).state is WorkloadState.SUCCEEDED
    assert receiver.words() == LIFE
    told = [one.headers["ce-id"] for one in receiver.got]
    assert len(set(told)) == len(LIFE) < len(told)
    assert receiver.got[1].body == receiver.got[2].body
    assert len({one.headers["shunter-delivery"] for one in receiver.got}) == len(LIFE)


async def test_a_table_that_was_lost_knows_again_whom_to_tell(
    settings: SchedulerSettings, bus: Bus, runner: FakeRunner, receiver: Receiver
) -> None:
    async with run_scheduler(settings):
        made = await Hooker(bus).create(url=receiver.url("/sub"), secret=sealed(SECRET), states=["succeeded"])
        gone = await Hooker(bus).create(url=receiver.url("/gone"))
        await Hooker(bus).replace(made.id, url=receiver.url("/sub"), states=["succeeded"], name="renamed")
        await Hooker(bus).steer(DeleteSubscription, gone.id)
        callback = {"url": receiver.url("/job"), "secret": sealed(SECRET), "events": ["succeeded"]}
        job = await User(bus).submit(hold=True, callback=callback)
        await User(bus).until(job.id, WorkloadState.HELD)
    await lose(settings.database_url)
    async with run_scheduler(settings):
        await User(bus).until(job.id, WorkloadState.HELD)  # it is there again
        (known,) = await Hooker(bus).all()
        assert (known.id, known.spec.name, known.signed) == (made.id, "renamed", True)
        await User(bus).start(job.id)
        (of_job,) = await receiver.until(1, path="/job")
        (of_subscription,) = await receiver.until(1, path="/sub")
    assert all(one.headers["x-hub-signature-256"] == sign(SECRET, one.body) for one in (of_job, of_subscription))
    assert of_job.event["id"] == of_subscription.event["id"]


async def test_what_waits_is_sent_when_temporal_has_lost_the_line(
    settings: SchedulerSettings, bus: Bus, runner: FakeRunner, receiver: Receiver
) -> None:
    settings.scheduler.webhooks.attempts = 50
    settings.scheduler.webhooks.first_pause = 3600
    receiver.answer = lambda _: Says(503)
    async with run_scheduler(settings):
        job = await User(bus).submit(callback={"url": receiver.url(), "events": ["accepted"]})
        (waiting,) = await Hooker(bus).until(1, states=[DeliveryState.WAITING])
        await receiver.until(1)
    client = await connect(settings.scheduler.temporal)
    await client.get_workflow_handle(f"hook/{job.id}").terminate()
    settings.scheduler.webhooks.first_pause = 0.1
    receiver.answer = lambda _: Says()
    engine = make_engine(settings.database_url)
    async with engine.begin() as connection:
        await connection.execute(update(deliveries).values(next_at=None))
    await close_engine(engine)
    async with run_scheduler(settings):
        (done,) = await Hooker(bus).until(1, states=[DeliveryState.DELIVERED])
    assert done.id == waiting.id


async def test_nobody_reads_the_log_where_nobody_wants_to_be_told(
    settings: SchedulerSettings, bus: Bus, runner: FakeRunner, receiver: Receiver
) -> None:
    async def readers() -> int:
        found = await bus.jetstream.consumers_info("EVENTS")
        return len([one for one in found if one.config.durable_name is None])

    seen: set[int] = set()

    async def watch() -> None:
        while True:
            seen.add(await readers())
            await asyncio.sleep(0.02)

    async with run_scheduler(settings):
        await User(bus).until((await User(bus).submit()).id)
        assert await readers() == 0
        watching = asyncio.create_task(watch())
        told = await User(bus).submit(callback={"url": receiver.url()})
        await receiver.until(len(LIFE))
        async with asyncio.timeout(20):
            while 1 not in seen or await readers():  # noqa: ASYNC110 (a test may poll)
                await asyncio.sleep(0.1)
        watching.cancel()
        assert seen <= {0, 1}
        again = await User(bus).submit(callback={"url": receiver.url("/again")})
        await receiver.until(len(LIFE), path="/again")
    assert receiver.words("/") == receiver.words("/again") == LIFE
    assert told.id != again.id


async def test_who_is_disabled_is_told_nothing_more(user: User, bus: Bus, receiver: Receiver) -> None:
    made = await Hooker(bus).create(url=receiver.url())
    await Hooker(bus, ADMIN).create(url=receiver.url("/admin"), of="visible", types=["user"])
    await bus.announce(UserDisabled(owner="ada", at=now()), Context.start("user:root"))
    await receiver.until(1, path="/admin")
    await user.until((await user.submit()).id)
    async with asyncio.timeout(10):
        while True:
            found = await Hooker(bus).get(made.id)
            if found.state is SubscriptionState.PAUSED:
                break
            await asyncio.sleep(0.05)
    assert found.reason == "its owner was disabled"
    assert {one.event["type"] for one in receiver.got if one.path == "/"} <= {"org.shunter.subscription.created.v1"}
    assert (await Hooker(bus).steer(ResumeSubscription, made.id)).reason == ""
