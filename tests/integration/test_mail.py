"""Mail about jobs: a real NATS, a real Temporal, and a mail server that is a process of its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path

import pytest
import pytest_asyncio

from contracts.errors import ForbiddenError, InvalidError
from contracts.hook_events import DeliveryDead
from contracts.mail_events import MailRefused, MailSent, MailWished
from contracts.states import WorkloadState
from contracts.subscriptions import DeliveryState
from services.chassis.bus import Bus
from services.chassis.settings import NatsSettings
from services.scheduler.settings import SchedulerSettings
from services.scheduler.temporal import connect
from tests.support.certificates import Authority
from tests.support.databases import lose
from tests.support.hooks import Got, Hooker, Says, facts, run_receiver
from tests.support.mail import POSTED, Reader, addressed, mailing, ticket_in
from tests.support.post_office import PostOffice, run_post_office
from tests.support.runner import FakeRunner, Outcome
from tests.support.scheduler import ADA, BOB, User, run_scheduler, scheduler_settings

PASSWORD = "a-password-that-must-not-be-seen-anywhere"
ENDED = {"on": ["ended"]}


@pytest.fixture
def plain(tmp_path: Path, nats: NatsSettings, temporal: str) -> SchedulerSettings:
    return scheduler_settings(tmp_path / "scheduler", nats, temporal, every=0.1, silence=5)


@pytest_asyncio.fixture
async def office(tmp_path: Path) -> AsyncIterator[PostOffice]:
    async with run_post_office(tmp_path / "post") as office:
        yield office


@pytest_asyncio.fixture
async def user(plain: SchedulerSettings, office: PostOffice, bus: Bus, runner: FakeRunner) -> AsyncIterator[User]:
    (plain.data).mkdir()
    async with run_scheduler(mailing(plain, office, to=["*@example.org"])):
        yield User(bus, POSTED)


def _word(kind: type[MailSent | MailWished | MailRefused | DeliveryDead]) -> str:
    return kind.name.partition(".")[2]


def _texts(letter: EmailMessage) -> tuple[str, str]:
    plain, rich = letter.get_body(("plain",)), letter.get_body(("html",))
    assert plain is not None
    assert rich is not None
    return str(plain.get_content()), str(rich.get_content())


async def test_the_end_of_a_job_is_mailed_to_its_owner_once(user: User, bus: Bus, office: PostOffice) -> None:
    job = await user.submit(name="train <b>& ü", notify={})
    assert job.spec.notify is not None
    assert job.spec.notify.own is None
    await user.until(job.id)
    (letter,) = await office.until(1)
    assert str(letter["To"]) == "ada@example.org"
    assert str(letter["From"]) == "Shunter <no-reply@shunter.example.org>"
    assert str(letter["Subject"]) == "Job train <b>& ü succeeded"
    assert letter["Auto-Submitted"] == "auto-generated"
    text, html = _texts(letter)
    assert f"shunter logs {job.id}" in text
    assert "train <b>& ü has ended as succeeded" in " ".join(text.split())
    assert "train &lt;b&gt;&amp; ü" in html
    assert ticket_in(text) in str(letter["List-Unsubscribe"])
    (sent,) = await Hooker(bus, POSTED).until(1, states=[DeliveryState.DELIVERED])
    assert (sent.channel, sent.url, sent.workload_id, sent.attempts) == ("mail", "mailto:ada@example.org", job.id, 1)
    assert str(letter["Message-ID"]) == f"<{sent.id}@shunter.example.org>"
    assert await facts(bus, "mail", 1) == [_word(MailSent)]
    assert office.tries("ada@example.org") == 1


async def test_what_is_asked_for_is_told_and_a_retry_tells_the_same(
    user: User, runner: FakeRunner, office: PostOffice
) -> None:
    runner.decide = lambda _: Outcome(exit_code=3, message="out of memory")
    wish = {"on": ["held", "started", "failed"], "to": ["team@example.org", "boss@example.org"]}
    job = await user.submit(hold=True, notify=wish)
    await user.until(job.id, WorkloadState.HELD)
    held = await office.until(2)
    assert {str(letter["To"]) for letter in held} == {"team@example.org", "boss@example.org"}
    assert all(" held" in str(letter["Subject"]) for letter in held)
    await user.start(job.id)
    await office.until(6)
    subjects = [str(letter["Subject"]).rpartition(" ")[2] for letter in office.letters("team@example.org")]
    assert subjects == ["held", "running", "failed"]
    text, _ = _texts(office.letters("team@example.org")[-1])
    assert "out of memory" in text
    assert "exit code  3" in text
    await user.order_retry(job.id)
    await office.until(10)
    own = await user.submit(notify={"on": ["succeeded", "failed"]})
    await office.until(1, "ada@example.org")
    again = await user.order_retry(own.id)
    letters = await office.until(2, "ada@example.org")
    assert again.id in str(letters[-1]["Shunter-Job"])


async def test_a_server_refuses_puts_off_drops_and_is_slow_and_nobody_waits(
    user: User, bus: Bus, office: PostOffice
) -> None:
    ways = ("slow", "refuse", "later-2", "drop-1", "cut-1")
    jobs = {}
    for way in ways:
        one = User(bus, addressed(f"{way}@example.org"))
        jobs[way] = (await one.submit(notify=ENDED)).id
        assert (await one.until(jobs[way])).state is WorkloadState.SUCCEEDED
    hooker = Hooker(bus, POSTED)
    done = await hooker.until(3, states=[DeliveryState.DELIVERED])
    tries = {one.url: one.attempts for one in done}
    assert tries["mailto:later-2@example.org"] == 3
    assert tries["mailto:cut-1@example.org"] == 2
    assert tries["mailto:drop-1@example.org"] == 2
    # The server took it without saying so: nobody can know that. It is the same letter, by its name and its bytes.
    first, second = await office.until(2, "drop-1@example.org")
    assert (first["Message-ID"], first["Date"]) == (second["Message-ID"], second["Date"])
    assert first.as_bytes() == second.as_bytes()
    dead = {one.url: one for one in await hooker.until(2, seconds=60, states=[DeliveryState.DEAD])}
    refused, slow = dead["mailto:refuse@example.org"], dead["mailto:slow@example.org"]
    assert (refused.attempts, refused.status) == (1, 550)
    assert refused.error == "550 5.1.1 there is nobody of this name"
    assert (slow.attempts, slow.status) == (4, None)
    assert "TimeoutError" in slow.error
    assert (await facts(bus, "delivery", 2)).count(_word(DeliveryDead)) == 2
    assert (await facts(bus, "mail", 3)).count(_word(MailSent)) == 3


async def test_who_wants_none_gets_none_until_they_want_it_again(user: User, bus: Bus, office: PostOffice) -> None:
    reader = Reader(bus)
    standing = await reader.standing()
    assert (standing.sends, standing.address, standing.opted_out) == (True, "ada@example.org", False)
    await user.submit(notify=ENDED)
    (letter,) = await office.until(1)
    ticket = ticket_in(_texts(letter)[0])
    assert (await reader.refuse(ticket)).address == "ada@example.org"
    assert (await reader.standing()).opted_out
    await user.submit(notify=ENDED)
    (dropped,) = await Hooker(bus, POSTED).until(1, states=[DeliveryState.DROPPED])
    assert dropped.error == "mail is not wanted there"
    # A link is about an address; others are still told.
    await user.submit(notify={"to": ["team@example.org"]})
    await office.until(1, "team@example.org")
    assert not (await reader.wish(opted_out=False)).opted_out
    await user.submit(notify=ENDED)
    await office.until(2, "ada@example.org")
    assert (await reader.wish(opted_out=True)).opted_out
    await user.submit(notify={"to": ["team@example.org"]})
    await Hooker(bus, POSTED).until(2, states=[DeliveryState.DROPPED])
    with pytest.raises(ForbiddenError):
        await reader.refuse(f"{ticket}x")
    told = await facts(bus, "mail", 6)
    assert [fact for fact in told if fact != _word(MailSent)] == [
        _word(kind) for kind in (MailRefused, MailWished, MailWished)
    ]
    assert (await Reader(bus, BOB).standing()).opted_out is False
    assert office.tries("ada@example.org") == 2


async def test_a_table_that_was_lost_sends_nothing_twice_and_knows_who_wants_none(
    plain: SchedulerSettings, office: PostOffice, bus: Bus, runner: FakeRunner
) -> None:
    plain.data.mkdir()
    mailing(plain, office)
    user = User(bus, POSTED)
    async with run_scheduler(plain):
        job = await user.submit(notify=ENDED)
        held = await user.submit(notify=ENDED, hold=True)
        other = await User(bus, addressed("later-1@example.org")).submit(notify=ENDED)
        await Hooker(bus, POSTED).until(2, states=[DeliveryState.DELIVERED])
        gone = BOB.model_copy(update={"email": "bob@example.org"})
        await Reader(bus, gone).wish(opted_out=True)
    await lose(plain.database_url)
    async with run_scheduler(plain):
        await user.until(held.id, WorkloadState.HELD)
        assert (await Reader(bus, gone).standing()).opted_out
        await user.start(held.id)
        await Hooker(bus, POSTED).until(3, states=[DeliveryState.DELIVERED])
    names = [str(letter["Shunter-Job"]) for letter in office.letters()]
    assert sorted(names) == sorted([job.id, held.id, other.id])


@pytest.mark.own_stores("it reads the files of its stores")
@pytest.mark.parametrize("implicit", [False, True])
async def test_the_password_goes_over_tls_and_lies_nowhere(
    plain: SchedulerSettings, tmp_path: Path, bus: Bus, runner: FakeRunner, implicit: bool
) -> None:
    plain.data.mkdir()
    authority = Authority(tmp_path, "authority")
    certificate, key = authority.server()
    pair = (Path(certificate), Path(key))
    async with run_post_office(tmp_path / "post", password=PASSWORD, certificate=pair, implicit=implicit) as office:
        smtp = {"host": "127.0.0.1", "port": office.port, "user": "shunter", "password": PASSWORD}
        smtp |= {"tls": "implicit" if implicit else "starttls", "ca_file": authority.file}
        async with run_scheduler(mailing(plain, smtp=smtp)):
            job = await User(bus, POSTED).submit(notify=ENDED)
            await office.until(1)
        async with run_scheduler(mailing(plain, smtp={**smtp, "password": "another"}, attempts=1)):
            await User(bus, POSTED).submit(notify=ENDED)
            (dead,) = await Hooker(bus, POSTED).until(1, states=[DeliveryState.DEAD])
            assert dead.error == "the mail server does not take this site's password"
        client = await connect(plain.scheduler.temporal)
        (line,) = [found.id async for found in client.list_workflows(f"WorkflowId STARTS_WITH 'hook/{job.id}/mail-'")]
        history = await client.get_workflow_handle(line).fetch_history()
        assert PASSWORD not in json.dumps(history.to_json_dict())

    def holding() -> list[Path]:
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        return [path for path in files if PASSWORD.encode() in path.read_bytes()]

    assert await asyncio.to_thread(holding) == []


async def test_an_http_service_of_the_same_kind_as_mailjets_is_asked_in_its_words(
    plain: SchedulerSettings, bus: Bus, runner: FakeRunner
) -> None:
    plain.data.mkdir()
    said = [
        Says(429, (("retry-after", "0"),)),
        Says(200, body=b'{"Messages":[{"Status":"success","To":[{"Email":"ada@example.org","MessageID":1}]}]}'),
        Says(
            400, body=b'{"Messages":[{"Status":"error","Errors":[{"ErrorCode":"mj-0013","ErrorMessage":"no such"}]}]}'
        ),
    ]

    def answer(_got: Got) -> Says:
        return said.pop(0)

    async with run_receiver() as service:
        service.answer = answer
        mailjet = {"url": service.url("/v3.1/send"), "key": "public", "secret": PASSWORD}
        async with run_scheduler(mailing(plain, mailjet=mailjet)):
            user = User(bus, POSTED)
            job = await user.submit(name="train", notify=ENDED)
            (sent,) = await Hooker(bus, POSTED).until(1, states=[DeliveryState.DELIVERED])
            await user.submit(notify=ENDED)
            (dead,) = await Hooker(bus, POSTED).until(1, states=[DeliveryState.DEAD])
    assert sent.attempts == 2
    assert (dead.attempts, dead.status, dead.error) == (1, 400, "answered 400 mj-0013 no such")
    first, second, _ = service.got
    assert first.body == second.body
    assert first.headers["authorization"].startswith("Basic ")
    (message,) = json.loads(first.body)["Messages"]
    assert message["From"] == {"Email": "no-reply@shunter.example.org", "Name": "Shunter"}
    assert message["To"] == [{"Email": "ada@example.org"}]
    assert (message["Subject"], message["CustomID"]) == ("Job train succeeded", sent.id)
    assert job.id in message["TextPart"]
    assert f"<code>{job.id}</code>" in message["HTMLPart"]


async def test_a_site_says_what_speaks_against_mail(
    plain: SchedulerSettings, office: PostOffice, bus: Bus, runner: FakeRunner
) -> None:
    plain.data.mkdir()
    async with run_scheduler(plain):
        with pytest.raises(InvalidError, match=r"scheduler\.mail"):
            await User(bus, POSTED).submit(notify={})
        quiet = await User(bus, POSTED).submit(notify={"required": False})
        assert quiet.spec.notify is None
        assert not (await Reader(bus).standing()).sends
    async with run_scheduler(mailing(plain, office, to=["*@allowed.org", "one@named.org"])):
        with pytest.raises(InvalidError, match="no address of yours"):
            await User(bus, ADA).submit(notify={})
        with pytest.raises(InvalidError, match=r"scheduler\.mail\.to") as refused:
            await User(bus, POSTED).submit(notify={"to": ["x@allowed.org", "x@elsewhere.org"]})
        assert refused.value.errors[0].field == "notify.to.1"
        # Nobody makes an address their own by saying so.
        forged = {"to": ["eve@elsewhere.org"], "own": "eve@elsewhere.org"}
        with pytest.raises(InvalidError, match=r"scheduler\.mail\.to"):
            await User(bus, POSTED).submit(notify=forged)
        wish = {"to": ["X@Allowed.org", "one@named.org", "Ada@example.org"], "on": ["succeeded"]}
        await User(bus, POSTED).submit(notify=wish)
        await office.until(3)
