"""The pilot's one connection: NATS. It dials out, and dials again for as long as it takes."""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import subjects
from .errors import AwayError, QuotaError, RefusedError
from .lazy import put_off, without

put_off("nats.js")

# It would read its whole archive for the number of its version.
with without("importlib.metadata"):
    import nats.errors
    from nats.aio.client import Client

if TYPE_CHECKING:
    import ssl

__all__ = ["Address", "Link", "complain"]

_SLOWEST = 15.0
"""Seconds between two tries to connect, at most."""
_ANSWER = 5.0
"""Seconds that a stream has to say that it keeps something."""
_SILENT = 3
"""Answers that may be missed in a row before the connection is taken for dead."""
_PING = 10
"""Seconds between two looks whether the other end is there."""
_PAUSES = (0.05, 0.2, 0.5, 1.0, 2.0, 5.0)
_RENEWED = 2.0
"""Seconds that fresh credentials are given before they are doubted too."""

_AWAY = (nats.errors.Error, asyncio.TimeoutError, OSError)
"""What the library raises while NATS is away; `Error` is also what it makes of a refusal."""


def complain(text: str) -> None:
    """Say something where the cluster keeps what its jobs print."""
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    sys.stderr.write(f"{moment} shunter pilot: {text}\n")
    sys.stderr.flush()


@dataclass(frozen=True)
class Address:
    """Where NATS listens and who we are there."""

    url: str
    name: str
    token: str
    ca: str = ""
    """Certificates of authorities, as PEM, beside the usual ones."""


class Link:
    """Says things to the rest of Shunter, and keeps trying."""

    def __init__(self, address: Address) -> None:
        self.name = address.name
        self.returned = asyncio.Event()
        """Set whenever the connection comes (back)."""
        self._address = address
        self._client: Client | None = None
        self._up = asyncio.Event()
        self._lost = asyncio.Event()
        self._closing = False
        self._dialled = 0.0
        self._missed = 0
        self._answer: Callable[[bytes], Awaitable[bytes]] | None = None
        self._living: asyncio.Task[None] | None = None

    def start(self, answer: Callable[[bytes], Awaitable[bytes]]) -> None:
        """Begin to connect; *answer* what is asked of us."""
        self._answer = answer
        self._living = asyncio.get_running_loop().create_task(self._live())

    async def close(self) -> None:
        """Hang up."""
        self._closing = True
        self._lost.set()
        if self._living:
            self._living.cancel()
            await asyncio.wait({self._living}, timeout=2)

    # --- the connection ---------------------------------------------------------------------------------------

    async def _live(self) -> None:
        pause = 0.1
        while not self._closing:
            try:
                client = await self._dial()
            except Exception as error:  # noqa: BLE001 (a pilot that gave up here would hold its room for nothing)
                if pause in {0.1, _SLOWEST}:
                    complain(f"NATS does not let us in yet: {type(error).__name__}: {error}")
                await asyncio.sleep(pause * random.uniform(0.7, 1.3))  # noqa: S311 (so that not all come at once)
                pause = min(pause * 2, _SLOWEST)
                continue
            pause = 0.1
            self._client, self._missed, self._dialled = client, 0, time.monotonic()
            self._up.set()
            self.returned.set()
            try:
                await self._lost.wait()
            finally:
                self._up.clear()
                self._client = None
                with suppress(Exception):
                    await asyncio.wait_for(client.close(), 2)

    async def _dial(self) -> Client:
        self._lost.clear()
        client = Client()
        try:
            await client.connect(
                self._address.url.split(","),
                name=self.name,
                user=self._address.name,
                password=self._address.token,
                tls=_context(self._address.ca) if self._address.url.startswith("tls:") else None,
                inbox_prefix=subjects.inbox(self.name).encode(),
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=10,
                ping_interval=_PING,
                max_outstanding_pings=2,
                error_cb=self._note,
                closed_cb=self._note_loss,
                disconnected_cb=self._note_loss,
            )
            if self._answer:
                await client.subscribe(subjects.control(self.name), cb=self._take)
        except BaseException:
            with suppress(Exception):
                await client.close()
            raise
        return client

    async def _take(self, message: Any) -> None:
        if self._answer:
            reply = await self._answer(message.data)
            if message.reply:
                await message.respond(reply)

    async def _note_loss(self) -> None:
        self._lost.set()

    async def _note(self, error: Exception) -> None:
        # Credentials are for the attempts that we had when they were given.
        if "permissions violation" in str(error).lower() and time.monotonic() - self._dialled > _RENEWED:
            self._lost.set()

    async def _request(self, subject: str, payload: bytes, headers: dict[str, str] | None, within: float) -> bytes:
        await self._up.wait()
        client = self._client
        if client is None:
            raise AwayError("the connection was lost")
        asking = asyncio.ensure_future(client.request(subject, payload, timeout=within, headers=headers))
        try:
            raw: bytes = (await self._unless_lost(asking)).data
        except asyncio.TimeoutError:
            self._missed += 1
            if self._missed >= _SILENT and client is self._client:
                self._lost.set()
            raise
        self._missed = 0
        return raw

    async def _unless_lost(self, asking: asyncio.Future[Any]) -> Any:
        """Await an answer, but not across a broken connection: one that was sent meanwhile went nowhere."""
        lost = asyncio.ensure_future(self._lost.wait())
        try:
            await asyncio.wait({asking, lost}, return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                raise AwayError("the connection was lost while an answer was awaited")
            return asking.result()
        finally:
            asking.cancel()
            lost.cancel()

    # --- what is said -----------------------------------------------------------------------------------------

    async def keep(self, subject: str, payload: bytes, message: str, headers: Mapping[str, str] | None = None) -> None:
        """Publish into a stream until it says that it keeps it; the same *message* twice is kept once."""
        tries = 0
        while True:
            try:
                said = await self._request(subject, payload, {"Nats-Msg-Id": message, **(headers or {})}, _ANSWER)
                if "error" not in json.loads(said):
                    return
            except (*_AWAY, AwayError, ValueError) as error:
                if tries in {1, 100}:
                    complain(f"{subject} is not kept yet: {type(error).__name__}: {error}")
            await asyncio.sleep(_PAUSES[min(tries, len(_PAUSES) - 1)])
            tries += 1

    async def ask(self, subject: str, question: dict[str, Any], *, within: float = 10.0) -> Any:
        """Ask the owner of some data; raises `RefusedError`, or `AwayError` when nobody answers."""
        try:
            raw = await self._request(subject, json.dumps(question).encode(), None, within)
        except _AWAY as error:
            raise AwayError(f"nobody answers {subject}: {type(error).__name__}") from error
        return _answer_of(raw)

    async def order(self, subject: str, envelope: dict[str, Any], *, within: float) -> Any:
        """Publish a command durably and wait for its answer."""
        await self._up.wait()
        client = self._client
        if client is None:
            raise AwayError("the connection was lost")
        try:
            inbox = client.new_inbox()
            subscription = await client.subscribe(inbox, max_msgs=1)
            try:
                headers = {"Nats-Msg-Id": envelope["id"], "Shunter-Reply-To": inbox}
                await self._request(subject, json.dumps(envelope).encode(), headers, _ANSWER)
                message = await self._unless_lost(asyncio.ensure_future(subscription.next_msg(timeout=within)))
            finally:
                await subscription.unsubscribe()
        except _AWAY as error:
            raise AwayError(f"nobody answers {subject}: {type(error).__name__}") from error
        return _answer_of(message.data)


def _answer_of(raw: bytes) -> Any:
    try:
        reply = json.loads(raw)
    except ValueError as error:
        raise AwayError("an answer cannot be read") from error
    problem = reply.get("problem")
    if problem is None:
        return reply.get("answer")
    detail = str(problem.get("detail") or problem.get("code"))
    if problem.get("code") == "unavailable":
        raise AwayError(detail)
    raise (QuotaError if problem.get("code") == "over_quota" else RefusedError)(detail)


def _context(ca: str) -> ssl.SSLContext:
    import ssl

    context = ssl.create_default_context()
    if ca:
        context.load_verify_locations(cadata=ca)
    return context
