"""Parked messages, for operators: looked at, sent again, dropped."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError as NoMessageError
from pydantic import ValidationError

from contracts.envelope import Envelope
from contracts.errors import InvalidError, NotFoundError
from contracts.events import MessageDropped, MessageParked, MessageResent
from contracts.model import now
from contracts.operations import ParkedChange, ParkedMessage, ParkedPage, ParkedView
from contracts.subjects import parked_subject
from services.chassis.bus import Bus
from services.chassis.errors import translated
from services.chassis.parking import ORIGINAL_ID, read_parked, without_secrets
from services.chassis.policy import require_operator

from .callers import Caller

__all__ = ["ParkedFilter", "ParkedService"]

_STREAM = "PARKED"
_AT_ONCE = 500
"""Messages that one call changes at most."""
_LOOKED_AT = 5000
"""Messages that one call looks at for those that fit."""
_SHOWN = 256 * 1024
"""Bytes of a body that are shown."""


@dataclass(frozen=True, slots=True)
class ParkedFilter:
    """Which parked messages are meant."""

    service: str | None = None
    subject: str | None = None
    """The beginning of the subject they were sent to."""

    @property
    def is_open(self) -> bool:
        """Say whether it lets everything through."""
        return self.service is None and self.subject is None


class ParkedService:
    """Works on the PARKED stream for one operator."""

    def __init__(self, *, bus: Bus, caller: Caller) -> None:
        require_operator(caller.principal)
        self._bus = bus
        self._caller = caller

    async def page(self, wanted: ParkedFilter, *, cursor: str | None, limit: int) -> ParkedPage:
        """Return some, oldest first."""
        found, following = await self._find(wanted, _read_cursor(cursor), limit)
        items = [_show(message) for message in found]
        return ParkedPage(items=items, next_cursor=str(following) if following else None)

    async def get(self, sequence: int) -> ParkedView:
        """Return one with what is in it."""
        message = await self._one(sequence)
        shown = _show(message)
        data = message.data or b""
        try:
            envelope = Envelope.from_bytes(data)
        except ValidationError:
            return ParkedView(**dict(shown), body=without_secrets(_read_body(data)))
        attributes = envelope.model_dump(mode="json", exclude={"data"}, exclude_none=True)
        return ParkedView(**dict(shown), envelope=attributes, body=without_secrets(envelope.data))

    async def resend(self, sequence: int) -> ParkedChange:
        """Send one again to where it was sent first."""
        await self._resend(await self._one(sequence))
        return ParkedChange(sequences=[sequence])

    async def drop(self, sequence: int) -> ParkedChange:
        """Drop one."""
        await self._drop(await self._one(sequence))
        return ParkedChange(sequences=[sequence])

    async def resend_all(self, wanted: ParkedFilter) -> ParkedChange:
        """Send those that fit again, some at a time."""
        found, following = await self._find(wanted, 1, _AT_ONCE)
        for message in found:
            await self._resend(message)
        return ParkedChange(sequences=[message.seq or 0 for message in found], more=bool(following))

    async def drop_all(self, wanted: ParkedFilter) -> ParkedChange:
        """Drop those that fit, some at a time."""
        found, following = await self._find(wanted, 1, _AT_ONCE)
        for message in found:
            await self._drop(message)
        return ParkedChange(sequences=[message.seq or 0 for message in found], more=bool(following))

    # --- inside -------------------------------------------------------------------------------------------------

    async def _find(self, wanted: ParkedFilter, start: int, limit: int) -> tuple[list[RawStreamMsg], int | None]:
        """Return those that fit from *start* on, and where to go on if there may be more."""
        found: list[RawStreamMsg] = []
        subject = parked_subject(wanted.service or "*")
        for _ in range(_LOOKED_AT):
            try:
                with translated("NATS"):
                    message = await self._bus.jetstream.get_msg(
                        _STREAM, seq=start, subject=subject, direct=True, next=True
                    )
            except NoMessageError:
                return found, None
            if len(found) == limit:
                return found, message.seq
            start = (message.seq or start) + 1
            if not wanted.subject or _known(message).subject.startswith(wanted.subject):
                found.append(message)
        return found, start

    async def _one(self, sequence: int) -> RawStreamMsg:
        try:
            with translated("NATS"):
                return await self._bus.jetstream.get_msg(_STREAM, seq=sequence, direct=True)
        except NoMessageError as error:
            raise NotFoundError(f"no message is parked as {sequence}") from error

    async def _resend(self, message: RawStreamMsg) -> None:
        known, sequence = _known(message), message.seq or 0
        # The stream must take it although it knows the old id; the inbox must not take it twice. Said twice, if we
        # die before it is removed here, it is kept once.
        headers = {ORIGINAL_ID: known.message_id} if known.message_id else {}
        await self._bus.publish(known.subject, message.data or b"", f"resent-{sequence}-{known.sequence}", headers)
        event = MessageResent(
            service=known.service, subject=known.subject, sequence=sequence, message_id=known.message_id
        )
        await self._bus.announce(event, self._caller.context, event_id=f"resent-{sequence}-{known.message_id}")
        await self._remove(sequence)

    async def _drop(self, message: RawStreamMsg) -> None:
        known, sequence = _known(message), message.seq or 0
        event = MessageDropped(
            service=known.service, subject=known.subject, sequence=sequence, message_id=known.message_id
        )
        await self._bus.announce(event, self._caller.context, event_id=f"dropped-{sequence}-{known.message_id}")
        await self._remove(sequence)

    async def _remove(self, sequence: int) -> None:
        try:
            with translated("NATS"):
                await self._bus.jetstream.delete_msg(_STREAM, sequence)
        except NoMessageError:
            return  # somebody else was quicker


def _known(message: RawStreamMsg) -> MessageParked:
    return read_parked(message.subject or "", message.data or b"", message.headers or {})


def _show(message: RawStreamMsg) -> ParkedMessage:
    known = _known(message)
    return ParkedMessage(
        sequence=message.seq or 0,
        parked_at=message.time or now(),
        service=known.service,
        subject=known.subject,
        message_id=known.message_id,
        deliveries=known.deliveries,
        error=str(without_secrets(known.error)),
        size=len(message.data or b""),
    )


def _read_body(data: bytes) -> Any:
    if len(data) <= _SHOWN:
        try:
            return json.loads(data)
        except ValueError:
            pass
    return data[:_SHOWN].decode(errors="replace")


def _read_cursor(cursor: str | None) -> int:
    if cursor is None:
        return 1
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
        raise InvalidError.of("cursor", "this is no cursor of this list")
    return max(int(cursor), 1)
