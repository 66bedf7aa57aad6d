"""What a pilot may say and hear: all of its own attempts, nothing else, and only while its native job is alive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import nats
import pytest
import pytest_asyncio
from nats.aio.client import Client
from nats.aio.msg import Msg
from pydantic import SecretStr

from contracts.commands import CompleteUpload, DeleteFile
from contracts.pilots import NextTask, PilotOrders, PilotTerms, PilotTicket
from contracts.principals import Principal
from contracts.queries import DownloadRunInputs, GetWorkload, OpenRunUpload
from contracts.runs import RunTask
from contracts.states import Reason
from contracts.subjects import (
    log_subject,
    pilot_inbox,
    pilot_subject,
    query_subject,
    report_subject,
    subject_of,
    task_subject,
)
from services.chassis.connecting import until_heard_out
from services.chassis.streams import declare_streams
from services.chassis.tickets import Tickets
from services.scheduler.natives import jobs
from services.scheduler.natives.words import JobState
from services.scheduler.pilots.callout import Callout
from services.scheduler.pilots.desk import PilotDesk
from services.scheduler.pilots.issuer import Issuer, seed_of
from services.scheduler.pilots.probing import PilotProbes
from tests.support.clusters import Rig, open_rig, task
from tests.support.servers import run_nats

pytestmark = pytest.mark.own_stores("its NATS asks the scheduler who may come in")

_KEY = SecretStr("k" * 40)


@dataclass
class Site:
    """A scheduler's part of a cluster, and a NATS that asks it who pilots are."""

    rig: Rig
    desk: PilotDesk
    url: str

    async def native(self, *tasks: RunTask) -> str:
        """Start a native job for attempts; returns its name."""
        await self.rig.put(*tasks)
        await self.rig.starter.start()
        return await self.rig.native_for(tasks[0])

    async def next(self, name: str, *, incarnation: str = "incarnation-1", number: int = 1) -> PilotOrders:
        """Ask what is next, as a pilot does."""
        token = self.desk.token(name, "hpc")
        return await self.desk.next(NextTask(token=token, incarnation=incarnation, number=number))


@dataclass
class Pilot:
    """Somebody with the credentials of a pilot, who tries things."""

    connection: Client
    complaints: list[str] = field(default_factory=list)
    lost: asyncio.Event = field(default_factory=asyncio.Event)

    async def may_say(self, subject: str) -> bool:
        """Say whether NATS takes something there."""
        return await self._may(self.connection.publish(subject, b"{}"))

    async def may_hear(self, subject: str) -> bool:
        """Say whether NATS lets one listen there."""
        return await self._may(self.connection.subscribe(subject))

    async def _may(self, act: object) -> bool:
        before = len(self.complaints)
        await act  # type: ignore[misc]
        await until_heard_out(self.connection)
        return len(self.complaints) == before


@asynccontextmanager
async def _open_pilot(site: Site, name: str, token: str | None = None) -> AsyncIterator[Pilot]:
    complaints: list[str] = []
    lost = asyncio.Event()

    async def complain(error: Exception) -> None:
        complaints.append(str(error))

    async def lose() -> None:
        lost.set()

    connection = Client()
    try:
        await connection.connect(
            site.url,
            user=name,
            password=token or site.desk.token(name, "hpc"),
            allow_reconnect=False,
            max_reconnect_attempts=1,
            inbox_prefix=pilot_inbox(name).encode(),
            error_cb=complain,
            closed_cb=lose,
        )
        yield Pilot(connection, complaints, lost)
    finally:
        await connection.close()


async def _is_let_in(site: Site, name: str, token: str | None = None) -> bool:
    with suppress(nats.errors.Error):
        async with _open_pilot(site, name, token):
            return True
    return False


@pytest_asyncio.fixture
async def site(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Site]:
    """The parameter says how long credentials live."""
    lives = getattr(request, "param", 60.0)
    issuer = Issuer(seed_of(SecretStr(""), _KEY))
    async with run_nats(tmp_path, issuer=issuer.public) as settings, open_rig(tmp_path, settings) as rig:
        desk = PilotDesk(unit=rig.unit, tickets=Tickets(_KEY, PilotTicket), terms_of=lambda _: PilotTerms())
        callout = Callout(issuer=issuer, account="$G", lives=lives, admit=desk.admit)
        await declare_streams(rig.frame.bus.jetstream)
        await callout.start(rig.frame.bus.connection)
        yield Site(rig, desk, settings.url)


async def test_a_pilot_may_speak_of_its_own_attempts_and_of_nothing_else(site: Site) -> None:
    mine, other = task(), task()
    name, others = await site.native(mine), await site.native(other)
    async with _open_pilot(site, name) as pilot:
        allowed = [
            report_subject(mine.workload_id, 1),
            log_subject(mine.workload_id, 1, "stdout"),
            query_subject(NextTask),
            query_subject(DownloadRunInputs),
            query_subject(OpenRunUpload),
            subject_of(CompleteUpload(ticket="")),
        ]
        forbidden = [
            report_subject(other.workload_id, 1),
            report_subject(mine.workload_id, 2),
            log_subject(other.workload_id, 1, "stdout"),
            query_subject(GetWorkload),
            subject_of(DeleteFile(principal=Principal(subject="ada"), path="a")),
            task_subject("local", other.workload_id, 1),
            pilot_subject(others),
            f"{pilot_inbox(others)}.x",
            "events.workload.accepted.x",
            "$JS.API.STREAM.DELETE.EVENTS",
            "$SYS.REQ.USER.AUTH",
        ]
        assert [subject for subject in allowed if not await pilot.may_say(subject)] == []
        assert [subject for subject in forbidden if await pilot.may_say(subject)] == []
        assert [one for one in (f"{pilot_inbox(name)}.x", pilot_subject(name)) if not await pilot.may_hear(one)] == []
        heard = [">", "_INBOX.>", f"{pilot_inbox(others)}.>", pilot_subject(others), "logs.>", "events.>", "$SYS.>"]
        assert [subject for subject in heard if await pilot.may_hear(subject)] == []


async def test_it_may_answer_who_asks_it(site: Site) -> None:
    name = await site.native(task())
    async with _open_pilot(site, name) as pilot:

        async def answer(message: Msg) -> None:
            await message.respond(b"yes")

        await pilot.connection.subscribe(pilot_subject(name), cb=answer)
        await until_heard_out(pilot.connection)
        reply = await site.rig.frame.bus.connection.request(pilot_subject(name), b"?", timeout=5)
        assert reply.data == b"yes"


async def test_nobody_else_is_let_in(site: Site) -> None:
    name, others = await site.native(task()), await site.native(task())
    assert await _is_let_in(site, name)
    assert not await _is_let_in(site, name, "no token")
    assert not await _is_let_in(site, others, site.desk.token(name, "hpc"))
    assert not await _is_let_in(site, "shunter", site.desk.token(name, "hpc"))


@pytest.mark.parametrize("site", [5.0], indirect=True)
async def test_credentials_end_and_are_renewed_only_while_the_native_job_is_alive(site: Site) -> None:
    one = task()
    name = await site.native(one)
    async with _open_pilot(site, name) as pilot:
        await asyncio.wait_for(pilot.lost.wait(), 20)
    async with _open_pilot(site, name) as pilot:
        assert await pilot.may_say(report_subject(one.workload_id, 1))
    async with site.rig.unit.reading() as connection:
        await jobs.change(connection, [name], JobState.STARTED, state=JobState.GONE.value)
        await connection.commit()
    async with _open_pilot(site, name) as pilot:  # to be told that it is over
        assert await pilot.may_say(query_subject(NextTask))
        assert not await pilot.may_say(report_subject(one.workload_id, 1))
        assert not await pilot.may_say(query_subject(OpenRunUpload))
    assert (await site.next(name)).over


async def test_an_attempt_is_given_to_one_process_once(site: Site) -> None:
    one = task()
    name = await site.native(one)
    first = await site.next(name)
    assert (first.task, first.more, first.over, first.backend) == (one, False, False, "hpc")
    assert await site.next(name) == first  # its answer got lost
    assert (await site.next(name, number=2)).task is None
    assert (await site.next(name, incarnation="incarnation-2")).over
    assert (await site.next(name, incarnation="incarnation-2", number=0)).over


async def test_what_is_to_end_is_told(site: Site) -> None:
    one = task()
    name = await site.native(one)
    await site.next(name)
    await site.rig.finish(one, Reason.EXITED)
    orders = await site.next(name, number=0)
    assert (orders.end, orders.over) == ([], False)


@pytest.mark.parametrize("is_asked", [True, False])
async def test_the_doctor_knows_a_nats_that_does_not_ask_who_pilots_are(tmp_path: Path, *, is_asked: bool) -> None:
    issuer = Issuer(seed_of(SecretStr(""), _KEY))
    async with (
        run_nats(tmp_path, issuer=issuer.public if is_asked else "") as settings,
        open_rig(tmp_path, settings) as rig,
    ):
        desk = PilotDesk(unit=rig.unit, tickets=Tickets(_KEY, PilotTicket), terms_of=lambda _: PilotTerms())
        await Callout(issuer=issuer, account="$G", lives=60, admit=desk.admit).start(rig.frame.bus.connection)

        def probes(*clusters: str) -> PilotProbes:
            return PilotProbes(nats=settings, desk=desk, clusters=lambda: [*clusters], issuer=lambda: issuer.public)

        found = await probes("hpc", "lab").pilots()
        assert await probes().pilots() == []  # who has no cluster needs none
    if is_asked:
        assert found == []
        return
    [one] = found
    assert (one.code, one.evidence[1]) == ("pilots-not-asked-about", "backends: hpc, lab")
    assert f"issuer: {issuer.public}" in one.remedy


async def test_the_doctor_knows_a_nats_that_lets_pilots_in_but_not_by_our_word(tmp_path: Path) -> None:
    ours, other = (Issuer(seed_of(SecretStr(""), SecretStr(letter * 40))) for letter in "ab")
    async with run_nats(tmp_path, issuer=other.public) as settings, open_rig(tmp_path, settings) as rig:
        desk = PilotDesk(unit=rig.unit, tickets=Tickets(_KEY, PilotTicket), terms_of=lambda _: PilotTerms())
        await Callout(issuer=ours, account="$G", lives=60, admit=desk.admit).start(rig.frame.bus.connection)
        probes = PilotProbes(nats=settings, desk=desk, clusters=lambda: ["hpc"], issuer=lambda: ours.public)
        [one] = await probes.pilots()
    assert one.what.startswith("NATS lets no pilot in")
