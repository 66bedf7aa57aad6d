"""What is asked at the same moment travels as one message, and everybody has their own answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

import nats.errors
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from services.chassis import direct as module
from services.chassis.answers import FOR_HEADERS, Answers
from services.chassis.direct import NOT_DONE, Direct
from services.chassis.packs import BREAK

_Hear = Callable[[Msg], Awaitable[None]]
_SUBJECT = "orders.somebody.something"


class _Nats:
    """Brings messages from those who ask to those who answer, and counts them."""

    is_connected = True

    def __init__(self, max_payload: int = 2**20) -> None:
        self.max_payload = max_payload
        self.sent: list[tuple[str, bytes]] = []
        self.is_away = False
        self._hearing: dict[str, _Hear] = {}

    def new_inbox(self) -> str:
        return "_INBOX.asker"

    async def subscribe(self, subject: str, *, cb: _Hear, queue: str = "") -> None:
        assert queue in {"", "somebody"}
        self._hearing[subject.removesuffix(".*")] = cb

    async def publish(self, subject: str, payload: bytes, reply: str = "") -> None:
        if self.is_away:
            raise nats.errors.ConnectionClosedError
        self.sent.append((subject, payload))
        hear = self._hearing.get(subject) or self._hearing.get(subject.rpartition(".")[0])
        if hear:
            await hear(Msg(_client=cast("Client", self), subject=subject, reply=reply, data=payload))

    def said(self, start: str) -> list[bytes]:
        """Return what went to subjects that begin so."""
        return [payload for subject, payload in self.sent if subject.startswith(start)]


async def _open(net: _Nats, act: Callable[[bytes], Awaitable[bytes]] | None) -> Direct:
    direct = Direct()
    await direct.start(cast("Client", net))
    if act:
        answers = Answers("somebody")
        answers.hear(_SUBJECT, act, packed=True)
        await answers.start(cast("Client", net))
    return direct


async def _ask(direct: Direct, *words: bytes, within: float = 5.0) -> list[bytes]:
    return await asyncio.gather(*(direct.ask(_SUBJECT, word, within=within) for word in words))


async def _echo(raw: bytes) -> bytes:
    return b"to " + raw


def _words(many: int) -> list[bytes]:
    return [b'{"number":%d}' % number for number in range(many)]


async def test_those_who_ask_at_once_share_messages_and_have_their_own_answers() -> None:
    net = _Nats()
    direct = await _open(net, _echo)
    assert await _ask(direct, *_words(40)) == [b"to " + word for word in _words(40)]
    assert [len(pack.split(BREAK)) for pack in net.said(_SUBJECT)] == [16, 16, 8]
    assert len(net.said("_INBOX")) == 3


async def test_one_alone_travels_as_it_always_did() -> None:
    net = _Nats()
    direct = await _open(net, _echo)
    assert await _ask(direct, b'{"a":1}') == [b'to {"a":1}']
    assert [payload for _, payload in net.sent] == [b'{"a":1}', b'to {"a":1}']


async def test_beside_many_who_come_one_after_the_other_travel_together_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOMENT", 30.0)  # it is full long before
    net = _Nats()
    all_here = asyncio.Barrier(16)

    async def act(raw: bytes) -> bytes:
        await all_here.wait()
        return raw

    direct = await _open(net, act)
    asked = [asyncio.create_task(_ask(direct, *_words(5)))]
    for word in _words(11):
        await asyncio.sleep(0)
        asked.append(asyncio.create_task(_ask(direct, word)))
    async with asyncio.timeout(10):
        await asyncio.gather(*asked)
    assert [len(pack.split(BREAK)) for pack in net.said(_SUBJECT)] == [16]


async def test_nobody_waits_for_company_that_does_not_come() -> None:
    net = _Nats()
    direct = await _open(net, _echo)
    async with asyncio.timeout(10):
        assert await _ask(direct, *_words(7)) == [b"to " + word for word in _words(7)]
    assert len(net.said(_SUBJECT)) == 1


async def test_beside_few_each_goes_at_once() -> None:
    net = _Nats()
    may_go = asyncio.Event()

    async def act(raw: bytes) -> bytes:
        await may_go.wait()
        return raw

    direct = await _open(net, act)
    asked = []
    for number, word in enumerate(_words(4)):
        asked.append(asyncio.create_task(_ask(direct, word)))
        for _ in range(3):
            await asyncio.sleep(0)
        assert len(net.said(_SUBJECT)) == number + 1
    may_go.set()
    await asyncio.gather(*asked)


async def test_who_is_done_early_has_the_answer_early_and_nobody_waits_for_a_neighbour() -> None:
    may_go = asyncio.Event()

    async def act(raw: bytes) -> bytes:
        if raw == b"slow":
            await may_go.wait()
        return NOT_DONE if raw == b"left" else raw

    direct = await _open(_Nats(), act)
    asked = [asyncio.create_task(direct.ask(_SUBJECT, word, within=5)) for word in (b"slow", b"quick", b"left")]
    assert await asked[1] == b"quick"
    assert await asked[2] == NOT_DONE
    assert not asked[0].done()
    may_go.set()
    assert await asked[0] == b"slow"


async def test_who_has_waited_long_enough_goes_alone() -> None:
    async def act(raw: bytes) -> bytes:
        await asyncio.sleep(0.2 if raw == b"slow" else 0)
        return raw

    direct = await _open(_Nats(), act)
    quick = asyncio.create_task(direct.ask(_SUBJECT, b"slow", within=5))
    assert await direct.ask(_SUBJECT, b"slow", within=0.01) == NOT_DONE
    assert await quick == b"slow"


@pytest.mark.parametrize("many", [1, 3])
async def test_an_empty_answer_to_all_means_that_nothing_was_done(many: int) -> None:
    net = _Nats()
    direct = await _open(net, None)

    async def nobody(message: Msg) -> None:
        await net.publish(message.reply, b"")

    await net.subscribe(_SUBJECT, cb=nobody, queue="somebody")
    assert await _ask(direct, *_words(many)) == [NOT_DONE] * many


async def test_where_nats_is_away_nothing_was_done() -> None:
    net = _Nats()
    direct = await _open(net, _echo)
    net.is_away = True
    assert await _ask(direct, *_words(3)) == [NOT_DONE] * 3


async def test_what_got_lost_while_nats_was_away_is_given_up() -> None:
    direct = await _open(_Nats(), None)
    asked = asyncio.create_task(_ask(direct, *_words(3)))
    await asyncio.sleep(0.01)
    direct.give_up()
    assert await asked == [NOT_DONE] * 3


async def test_large_messages_go_apart_and_large_answers_too() -> None:
    large = b"x" * 200_000
    net = _Nats(max_payload=450_000)
    direct = await _open(net, _echo)
    assert await _ask(direct, large, large, b"small", b"small") == [
        *[b"to " + large] * 2,
        *[b"to small"] * 2,
    ]
    assert [len(pack.split(BREAK)) for pack in net.said(_SUBJECT)] == [1, 3]


async def test_an_answer_that_nothing_can_carry_is_refused_and_its_neighbours_are_not() -> None:
    async def act(raw: bytes) -> bytes:
        return raw * 1000 if raw == b"much" else raw

    net = _Nats(max_payload=FOR_HEADERS + 1000)
    direct = await _open(net, act)
    first, second = await _ask(direct, b"much", b"little")
    assert b"too_large" in first
    assert second == b"little"
    assert all(len(payload) <= 1000 for payload in net.said("_INBOX"))
