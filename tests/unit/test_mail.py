"""Mail without a server: addresses, occasions, letters, and that two who try at once send one."""

from __future__ import annotations

import asyncio
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import SecretStr, ValidationError
from sqlalchemy import RowMapping, insert, select

from contracts.envelope import Context, Envelope
from contracts.errors import ForbiddenError, InvalidError
from contracts.events import WorkloadMoved
from contracts.mail import Notify, Occasion, known_address
from contracts.model import now
from contracts.principals import Principal
from contracts.states import Reason, WorkloadState
from services.chassis.database import close_engine, make_engine
from services.chassis.unit import UnitOfWork, turn_for
from services.scheduler.mail.carrying import MailCarrier
from services.scheduler.mail.composing import Composer
from services.scheduler.mail.gate import MailGate
from services.scheduler.mail.matching import NoticeTarget
from services.scheduler.mail.sending import MailSender
from services.scheduler.mail.settings import Mail
from services.scheduler.mail.tickets import MailLinks
from services.scheduler.records import Record
from services.scheduler.tables import METADATA, deliveries
from services.scheduler.webhooks.carrying import Outcome
from services.scheduler.webhooks.delivering import Deliverer
from services.scheduler.webhooks.formats import JobFacts

KEY = SecretStr("k" * 40)
JOB = "job-" + "0" * 31 + "1"
SMTP_HERE = {"smtp": {"host": "127.0.0.1", "tls": "none"}, "sender": "no-reply@shunter.example.org"}
TERMINAL = [state for state in WorkloadState if state.is_terminal]


def _mail(**more: Any) -> Mail:
    return Mail.model_validate({**SMTP_HERE, **more})


def _moved(new: WorkloadState, **more: Any) -> Envelope:
    known = {"workload_id": JOB, "owner": "ada", "revision": 5, "old": "running", "at": now(), "attempt": 1}
    event = WorkloadMoved.model_validate({**known, "new": new, "reason": Reason.EXITED, **more})
    return Envelope.wrap(event, Context.start("service:scheduler"), source="scheduler", subject=JOB)


def _target(settings: Mail, **notify: Any) -> NoticeTarget:
    wish = Notify.model_validate({"own": "ada@example.org", **notify})
    row = {"workload_id": JOB, "owner": "ada", "project": None, "notify": wish.model_dump(mode="json")}
    links = MailLinks(KEY, settings.site_url)
    return NoticeTarget(cast(RowMapping, row), Composer(settings), links, settings.sender_name)


def _letter(row: Record) -> EmailMessage:
    return message_from_bytes(row["body"], EmailMessage, policy=SMTP)


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("ada@example.org", True),
        ("a.b+c_d@sub.example.org", True),
        ("ada@localhost", True),
        ("a" * 64 + "@example.org", True),
        ("a" * 65 + "@example.org", False),
        ("ada@" + "x" * 260, False),
        ("ada", False),
        ("@example.org", False),
        (".ada@example.org", False),
        ("ada@-example.org", False),
        ('"ada l"@example.org', False),
        ("ada@example.org\r\nBcc: eve@example.org", False),
        ("ada@example.org,eve@example.org", False),
        ("ada@exämple.org", False),
        (None, False),
        (["ada@example.org"], False),
    ],
)
def test_an_address_is_one_that_every_server_understands(text: object, good: bool) -> None:
    assert known_address(text) == (text if good else None)


def test_occasions_are_states() -> None:
    told = {occasion: {state for state in WorkloadState if occasion.covers(state)} for occasion in Occasion}
    assert told[Occasion.ENDED] == set(TERMINAL)
    parts = (Occasion.SUCCEEDED, Occasion.FAILED, Occasion.CANCELED)
    assert set().union(*(told[part] for part in parts)) == told[Occasion.ENDED]
    assert told[Occasion.FAILED] == {WorkloadState.FAILED, WorkloadState.LOST}
    with pytest.raises(ValidationError):
        Notify(to=["Ada@example.org", "ada@example.org"])


@pytest.mark.parametrize("state", TERMINAL)
def test_an_end_is_told_once_to_each_whatever_comes_twice(state: WorkloadState) -> None:
    target = _target(_mail(), on=["ended", "failed", "succeeded"], to=["a@example.org", "b@example.org"])
    one, two = (list(target.drafts(_moved(state), JobFacts("train"))) for _ in range(2))
    assert [row["url"] for row in one] == ["mailto:a@example.org", "mailto:b@example.org"]
    assert [row["key"] for row in one] == [row["key"] for row in two]
    assert len({row["key"] for row in one}) == len({row["line"] for row in one}) == 2
    assert all(len(row["key"]) <= 128 and len(row["line"]) <= 256 for row in one)


def test_what_is_not_asked_for_is_not_told() -> None:
    target = _target(_mail(), on=["failed"])
    assert list(target.drafts(_moved(WorkloadState.SUCCEEDED), JobFacts())) == []
    assert len(list(target.drafts(_moved(WorkloadState.LOST), JobFacts()))) == 1


def test_nothing_in_a_job_becomes_a_header_or_markup() -> None:
    target = _target(_mail(site_url="https://shunter.example.org"))
    hostile = "<script>alert(1)</script>"
    (row,) = target.drafts(_moved(WorkloadState.FAILED, message=f"{hostile}\nBcc: eve@x.org"), JobFacts(hostile))
    letter = _letter(row)
    assert letter["Bcc"] is None
    assert str(letter["Subject"]) == f"Job {hostile} failed"
    rich = letter.get_body(("html",))
    assert rich is not None
    assert hostile not in rich.get_content()
    assert all(len(line) <= 998 for line in row["body"].split(b"\r\n"))


def test_a_site_has_templates_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "job.subject.txt").write_text("[{{ mail.site }}]\n {{ mail.job }}")
    target = _target(_mail(templates=tmp_path, sender_name="Läb, the 1st"))
    (row,) = target.drafts(_moved(WorkloadState.SUCCEEDED), JobFacts())
    letter = _letter(row)
    assert str(letter["Subject"]) == f"[Läb, the 1st] {JOB}"
    assert letter["From"].addresses[0].display_name == "Läb, the 1st"
    text = letter.get_body(("plain",))
    assert text is not None
    assert "shunter mail off" in text.get_content()
    assert letter["List-Unsubscribe"] is None  # it has not said where it is


def test_a_link_is_believed_only_as_it_was_signed() -> None:
    links = MailLinks(KEY, "https://shunter.example.org/")
    link = links.opt_out("ada@example.org")
    assert link.startswith("https://shunter.example.org/v1/mail/opt-out?ticket=")
    ticket = link.partition("ticket=")[2]
    assert links.read(ticket) == "ada@example.org"
    foreign = MailLinks(SecretStr("x" * 40), "https://x").opt_out("ada@example.org").partition("ticket=")[2]
    (row,) = _target(_mail(site_url="https://x.org")).drafts(_moved(WorkloadState.LOST), JobFacts())
    assert b"\r\nList-Unsubscribe: <https://x.org/v1/mail/opt-out?ticket=" in row["body"]
    for wrong in (ticket[1:], f"{ticket}a", foreign):
        with pytest.raises(ForbiddenError):
            links.read(wrong)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"smtp": {"host": "x"}}, "whom mail is from"),
        ({**SMTP_HERE, "mailjet": {"key": "k", "secret": "s"}}, "either smtp or mailjet"),
        ({**SMTP_HERE, "smtp": {"host": "x", "user": "u"}}, "together"),
        ({**SMTP_HERE, "smtp": {"host": "mail.x.org", "tls": "none", "user": "u", "password": "p"}}, "with tls only"),
        ({**SMTP_HERE, "to": ["*.example.org"]}, "pattern"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Mail.model_validate(given)


def test_a_password_is_not_printed() -> None:
    settings = _mail(smtp={"host": "127.0.0.1", "user": "u", "password": "s3cret"})
    assert "s3cret" not in repr(settings)
    assert "s3cret" not in settings.model_dump_json()


def test_the_gate_takes_ones_own_address_from_whoever_vouches_for_it() -> None:
    gate = MailGate(_mail(to=["*@allowed.org"]))
    ada = Principal(subject="ada", email="ada@example.org")
    forged = Notify(own="eve@example.org")
    admitted = gate.admit(forged, ada)
    assert admitted is not None
    assert admitted.recipients == ["ada@example.org"]
    assert gate.admit(forged.model_copy(update={"required": False}), Principal(subject="eve")) is None
    with pytest.raises(InvalidError):
        gate.admit(forged, Principal(subject="eve"))


class _Slow(MailSender):
    host = "slow"

    def __init__(self) -> None:
        self.sent: list[str] = []

    async def send(self, message: bytes, *, recipient: str, delivery: str) -> Outcome:
        assert delivery.encode() in message
        self.sent.append(recipient)
        await asyncio.sleep(0)
        return Outcome(good=True, status=250)


async def test_two_workers_on_one_line_send_one_mail(tmp_path: Path) -> None:
    """Temporal takes a worker for dead that is only slow, and gives its line to another one."""
    engine = make_engine(f"sqlite+aiosqlite:///{tmp_path / 'scheduler.db'}")
    async with engine.begin() as connection:
        await connection.run_sync(METADATA.create_all)
    unit = UnitOfWork(
        engine=engine,
        inbox=METADATA.tables["inbox"],
        outbox=METADATA.tables["outbox"],
        source="scheduler",
        announce=lambda _rows: None,
        turn=turn_for(engine),
    )
    (row,) = _target(_mail()).drafts(_moved(WorkloadState.SUCCEEDED), JobFacts())
    async with engine.begin() as connection:
        await connection.execute(insert(deliveries).values(**row))
    sender = _Slow()
    workers = [Deliverer(unit=unit, carriers={"mail": MailCarrier(sender=sender, settings=_mail())}) for _ in range(5)]
    pauses = await asyncio.gather(*(worker.run(row["line"]) for worker in workers))
    assert sender.sent == ["ada@example.org"]
    assert None in pauses
    async with engine.begin() as connection:
        found = (await connection.execute(select(deliveries.c.state, deliveries.c.attempts))).one()
    assert tuple(found) == ("delivered", 1)
    await close_engine(engine)
