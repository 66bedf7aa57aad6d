"""Small parts of the chassis: moments, errors, tickets, health, settlement."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace

import nats.errors
import nats.js.errors
import pytest
from itsdangerous import TimestampSigner, URLSafeTimedSerializer
from pydantic import SecretStr, ValidationError
from sqlalchemy import Column, Integer, Table, create_engine, insert, select
from sqlalchemy.exc import OperationalError

from contracts.commands import DeleteFile
from contracts.envelope import Context, is_message_id
from contracts.errors import ForbiddenError, InvalidError, RefusedError, UnavailableError
from contracts.events import Event
from contracts.runs import RunTicket
from contracts.subjects import subject_of
from services.chassis.bus import Bus, Delivery
from services.chassis.database import Moment, new_metadata
from services.chassis.errors import invalid_from, translated
from services.chassis.health import HealthBook
from services.chassis.refusing import Refusals
from services.chassis.settings import NatsSettings
from services.chassis.settlement import MAX_DELIVER, PAUSES, Settlement
from services.chassis.tickets import Tickets

KEY = SecretStr("a key of the site, long enough for anybody")
TICKET = RunTicket(owner="ann", workload_id="job-" + "0" * 32, attempt=1)


# --- moments ----------------------------------------------------------------------------------------------------


def test_a_moment_is_kept_in_utc_and_comes_back_aware(tmp_path: Path) -> None:
    metadata = new_metadata()
    table = Table("t", metadata, Column("id", Integer, primary_key=True), Column("at", Moment))
    engine = create_engine(f"sqlite:///{tmp_path / 'x.db'}")
    metadata.create_all(engine)
    there = datetime(2026, 11, 21, 12, 0, 0, 123456, timezone(timedelta(hours=2)))
    with engine.begin() as connection:
        connection.execute(insert(table), [{"at": there}, {"at": None}])
    with engine.connect() as connection:
        found, nothing = connection.execute(select(table.c.at).order_by(table.c.id)).scalars()
    engine.dispose()
    assert found == there
    assert found.tzinfo is UTC
    assert nothing is None


# --- errors -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        nats.errors.TimeoutError(),
        nats.errors.NoRespondersError(),
        ConnectionResetError(),
        TimeoutError(),
        OperationalError("SELECT 1", {}, Exception("locked")),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_does_not_answer_is_unavailable(error: Exception) -> None:
    def ask() -> None:
        with translated("NATS"):
            raise error

    with pytest.raises(UnavailableError, match="NATS does not answer") as raised:
        ask()
    assert raised.value.retry_after


def test_a_bug_stays_a_bug() -> None:
    def ask() -> None:
        with translated("NATS"):
            raise KeyError("x")

    with pytest.raises(KeyError):
        ask()


def test_a_validation_error_names_fields_and_repeats_nothing_that_was_sent() -> None:
    with pytest.raises(ValidationError) as raised:
        DeleteFile.model_validate({"principal": {"subject": "ann"}, "path": "../hunter2"})
    error = invalid_from(raised.value)
    assert [found.field for found in error.errors] == ["path"]
    assert "hunter2" not in error.detail + error.errors[0].message


# --- tickets ----------------------------------------------------------------------------------------------------


def test_a_ticket_says_what_was_signed() -> None:
    tickets = Tickets(KEY, RunTicket)
    assert tickets.read(tickets.issue(TICKET), max_age=60) == TICKET


def test_a_ticket_of_a_clock_that_is_ahead_is_believed() -> None:
    class Ahead(TimestampSigner):
        def get_timestamp(self) -> int:
            return super().get_timestamp() + 3600

    signed = URLSafeTimedSerializer(KEY.get_secret_value(), salt="shunter.RunTicket", signer=Ahead)
    assert Tickets(KEY, RunTicket).read(str(signed.dumps(TICKET.model_dump(mode="json"))), max_age=60) == TICKET


def test_a_forged_foreign_or_old_ticket_is_not_believed() -> None:
    tickets = Tickets(KEY, RunTicket)
    issued = tickets.issue(TICKET)
    other = Tickets(SecretStr("another key, also long enough for anybody"), RunTicket)
    for bad in (issued[:-2], other.issue(TICKET), "", "a.b.c", "é"):
        with pytest.raises(ForbiddenError, match="not valid"):
            tickets.read(bad, max_age=60)
    with pytest.raises(ForbiddenError, match="expired"):
        tickets.read(issued, max_age=-1)


def test_a_short_key_is_refused() -> None:
    with pytest.raises(InvalidError, match="at least 32 characters"):
        Tickets(SecretStr("short"), RunTicket)


# --- health -----------------------------------------------------------------------------------------------------


async def test_a_service_is_ready_when_every_dependency_answers() -> None:
    async def well() -> None: ...

    async def ill() -> None:
        raise ConnectionError("away")

    book = HealthBook("storage", {"nats": well})
    assert (await book.look()).ready
    book.add("s3", ill)
    found = await book.look()
    assert not found.ready
    assert found.checks == {"nats": "ok", "s3": "ConnectionError: away"}


# --- lines of commands -------------------------------------------------------------------------------------------


async def test_locks_that_nobody_holds_are_forgotten_and_those_that_are_held_stay() -> None:
    bus = Bus(NatsSettings(), "scheduler")
    async with bus._line("commands.scheduler.workload.cancel.first"):
        for number in range(20_100):
            bus._line(f"commands.scheduler.workload.cancel.{number}")
        assert len(bus._lines) <= 10_002
        assert bus._lines["first"].locked()


# --- settlement -------------------------------------------------------------------------------------------------


@dataclass
class Message:
    """A message of a stream that remembers what it was told."""

    told: list[object] = field(default_factory=list)
    data: bytes = b"{}"
    metadata: object = field(default_factory=lambda: SimpleNamespace(stream="COMMANDS"))

    async def ack(self) -> None:
        self.told.append("ack")

    async def term(self) -> None:
        self.told.append("term")

    async def nak(self, delay: float) -> None:
        self.told.append(delay)


@dataclass
class Book:
    """What was published."""

    said: list[tuple[str, str]] = field(default_factory=list)

    async def publish(
        self, subject: str, payload: bytes, message_id: str, headers: Mapping[str, str] | None = None
    ) -> None:
        assert payload
        assert headers is not None
        assert subject.startswith("parked.")
        self.said.append((subject, message_id))

    async def announce(self, event: Event, context: Context, *, event_id: str) -> None:
        assert context.actor == "service:storage"
        self.said.append((subject_of(event), event_id))


def _settlement(book: Book) -> Settlement:
    return Settlement(service="storage", publish=book.publish, announce=book.announce)


def _delivery(message_id: str = "m-1", deliveries: int = 1) -> Delivery:
    context = Context.start("user:ann")
    return Delivery(message_id, context, "commands.storage.file.delete.none", 7, deliveries)


async def _end(error: Exception | None = None) -> None:
    if error:
        raise error


async def _settle(settlement: Settlement, error: Exception | None, delivery: Delivery) -> list[object]:
    message = Message()
    handling: Awaitable[None] = _end(error)
    await settlement.settle(message, delivery, handling)
    return message.told


async def test_what_is_done_is_acknowledged() -> None:
    book = Book()
    assert await _settle(_settlement(book), None, _delivery()) == ["ack"]
    assert book.said == []


async def test_what_is_refused_is_ended() -> None:
    book = Book()
    assert await _settle(_settlement(book), RefusedError("no"), _delivery()) == ["term"]
    assert book.said == []


@pytest.mark.parametrize("message_id", ["m-1", "m" * 128])
async def test_a_refusal_is_announced_under_one_id(message_id: str) -> None:
    book = Book()
    refusals = Refusals(service="storage", announce=book.announce)
    for _ in range(2):
        await refusals.keep(_delivery(message_id), RefusedError("no"))
    ((subject, event_id),) = set(book.said)
    assert subject == f"events.command.refused.{message_id}"
    assert event_id.startswith("refused-")
    assert is_message_id(event_id)


async def test_what_is_unavailable_comes_again_for_ever_but_not_too_late() -> None:
    settlement = _settlement(Book())
    assert await _settle(settlement, UnavailableError("wait", retry_after=3), _delivery()) == [3]
    assert await _settle(settlement, UnavailableError("wait", retry_after=900), _delivery()) == [15]
    assert await _settle(settlement, UnavailableError("wait"), _delivery(deliveries=10_000)) == [PAUSES[-1]]


async def test_what_fails_comes_again_later_each_time_and_is_parked_in_the_end() -> None:
    book = Book()
    settlement = _settlement(book)
    told = [(await _settle(settlement, ZeroDivisionError(), _delivery()))[0] for _ in range(MAX_DELIVER)]
    assert told == [*PAUSES, "term"]
    assert [subject for subject, _ in book.said] == [
        "parked.storage.commands.storage.file.delete.none",
        "events.message.parked.m-1",
    ]


async def test_failures_that_another_replica_took_over_are_forgotten() -> None:
    settlement = _settlement(Book())
    for number in range(10_100):
        settlement.count_failure(f"m-{number}")
    assert settlement.remembered == 10_000


async def test_a_lost_connection_while_settling_is_no_error() -> None:
    class Lost(Message):
        async def ack(self) -> None:
            raise nats.errors.ConnectionClosedError

    await _settlement(Book()).settle(Lost(), _delivery(), _end())


async def test_a_dependency_that_hangs_is_not_waited_for_for_ever() -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    assert "TimeoutError" in (await HealthBook("storage", {"s3": hang}, patience=0.01).look()).checks["s3"]


def test_a_stream_that_is_not_there_yet_is_waited_for_and_another_missing_thing_is_not() -> None:
    with pytest.raises(UnavailableError, match="no streams yet"), translated("NATS"):
        raise nats.js.errors.NotFoundError(code=404, err_code=10059, description="stream not found")
    with pytest.raises(nats.js.errors.NotFoundError), translated("NATS"):
        raise nats.js.errors.NotFoundError(code=404, err_code=10037, description="no message found")
