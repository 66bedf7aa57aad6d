"""Messages that come at once share a transaction, and nobody notices but the clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from contracts.envelope import Context, Envelope
from contracts.errors import ConflictError
from services.chassis.together import Part, Together
from tests.support.chassis import INBOX, NOTES, OUTBOX, Stand, open_stand, requested
from tests.support.databases import url_in

ANN, BEN = Context.start("user:ann"), Context.start("user:ben")


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    async with open_stand(url_in(tmp_path)) as opened:
        yield opened


class _Desk:
    """Writes notes down, refuses those that say so, and remembers how many came together."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.unmade = 0

    async def write(self, parts: Sequence[Part[str]]) -> list[str]:
        self.sizes.append(len(parts))
        for part in parts:
            part.work.on_rollback.add(self._unmake)
            part.work.send(requested())
            await part.work.connection.execute(insert(NOTES).values(text=part.item))
            if part.item == "bad":
                raise ConflictError("bad")
        return [part.item.upper() for part in parts]

    def _unmake(self) -> None:
        self.unmade += 1


async def _notes(stand: Stand) -> list[str]:
    async with stand.unit.reading() as connection:
        return sorted((await connection.execute(select(NOTES.c.text))).scalars())


async def test_what_comes_at_once_is_done_in_one_transaction_and_each_hears_of_its_own(stand: Stand) -> None:
    desk = _Desk()
    together: Together[str, str] = Together(stand.unit, desk.write)
    found = await asyncio.gather(*(together.do(f"m{number}", ANN, f"n{number}") for number in range(16)))
    assert found == [f"N{number}" for number in range(16)]
    assert desk.sizes == [16]
    assert await stand.count(INBOX) == await stand.count(OUTBOX) == await stand.count(NOTES) == 16


async def test_no_transaction_is_longer_than_was_agreed(stand: Stand) -> None:
    desk = _Desk()
    together: Together[str, str] = Together(stand.unit, desk.write, most=8)
    await asyncio.gather(*(together.do(f"m{number}", ANN, "n") for number in range(20)))
    assert desk.sizes == [8, 8, 4]


async def test_what_one_breaks_is_undone_and_its_neighbours_come_in(stand: Stand) -> None:
    desk = _Desk()
    together: Together[str, str] = Together(stand.unit, desk.write)
    words = ["one", "bad", "two"]
    found = await asyncio.gather(*(together.do(f"m-{word}", ANN, word) for word in words), return_exceptions=True)
    assert found[0] == "ONE"
    assert isinstance(found[1], ConflictError)
    assert found[2] == "TWO"
    assert await _notes(stand) == ["one", "two"]
    assert await stand.count(INBOX) == await stand.count(OUTBOX) == 2
    assert desk.unmade == 2  # of the three together, and of the bad one alone


async def test_a_message_is_handled_once_however_often_it_comes(stand: Stand) -> None:
    desk = _Desk()
    together: Together[str, str] = Together(stand.unit, desk.write)
    twice = await asyncio.gather(*(together.do("same", ANN, "n") for _ in range(2)))
    assert sorted(twice, key=str) == ["N", None]
    mixed = await asyncio.gather(together.do("same", ANN, "n"), together.do("other", ANN, "o"))
    assert list(mixed) == [None, "O"]
    assert await _notes(stand) == ["n", "o"]


async def test_each_speaks_in_its_own_name(stand: Stand) -> None:
    together: Together[str, str] = Together(stand.unit, _Desk().write)
    await asyncio.gather(together.do("a", ANN, "a"), together.do("b", BEN, "b"))
    async with stand.unit.reading() as connection:
        said = (await connection.execute(select(OUTBOX.c.payload).order_by(OUTBOX.c.seq))).scalars().all()
    envelopes = [Envelope.from_bytes(raw) for raw in said]
    assert [envelope.actor for envelope in envelopes] == ["user:ann", "user:ben"]
    assert [envelope.correlationid for envelope in envelopes] == [ANN.correlation, BEN.correlation]
