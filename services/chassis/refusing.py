"""A command that is refused stays refused: its message may come again, when what spoke against it is over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from pydantic import BaseModel

from contracts.envelope import Envelope
from contracts.errors import ConflictError, ErrorCode, Problem, RefusedError, ShunterError, error_of
from contracts.events import CommandRefused
from contracts.ids import message_id_after

from .answers import Written
from .delivery import ByType, Delivery, read_command
from .unit import UnitOfWork

__all__ = ["Refusals"]

_TOLD = 2000
"""Characters of a refusal that its event repeats."""

Announce = Callable[..., Awaitable[None]]


class Refusals:
    """Announces what one service refuses; where it has tables, with the message, in one transaction."""

    def __init__(self, *, service: str, announce: Announce) -> None:
        self._service = service
        self._announce = announce
        self.unit: UnitOfWork | None = None

    async def obey(self, raw: bytes, delivery: Delivery, by_type: ByType) -> BaseModel | Written:
        """Have a command obeyed; raises what speaks against it, the same each time it comes."""
        if error := await self._earlier(delivery):
            raise error
        made = ""
        try:
            command, handler = read_command(raw, delivery, by_type)
            made = getattr(command, command.makes) if command.makes else ""
            await self._require_newest(made, delivery)
            return await handler(command, delivery)
        except RefusedError as error:
            await self.keep(delivery, error, made)
            raise

    async def _require_newest(self, made: str, delivery: Delivery) -> None:
        """Refuse what was asked before a repeat of it was refused, and comes only now: nobody waits for it any more."""
        if made and self.unit and delivery.envelope:
            refused = await self.unit.remembered(_refused(made))
            if refused and delivery.envelope.time < refused:
                raise ConflictError(f"{made} was asked for again since, and refused")

    async def _earlier(self, delivery: Delivery) -> ShunterError | None:
        """Return what a command was refused with, if it was, and the stream did not hear of it."""
        if self.unit is None or delivery.deliveries == 1:
            return None
        told = await self.unit.told(_event_id(delivery))
        if told is None:
            return None
        event = Envelope.from_bytes(told).unwrap(CommandRefused)
        return error_of(Problem(code=ErrorCode(event.code), detail=event.detail))

    async def keep(self, delivery: Delivery, error: RefusedError, made: str = "") -> None:
        """Write a refusal down and announce it; only afterwards whoever asked is told. *made*: what it would make."""
        context = delivery.context.acting_as(f"service:{self._service}")
        event, event_id = _event(delivery, error), _event_id(delivery)
        if self.unit is not None:
            async with self.unit.handling(delivery.message_id, context) as work:
                if work is not None:
                    work.send(event, event_id=event_id)
                    if made and delivery.envelope:
                        await self.unit.remember(work, _refused(made), delivery.envelope.time)
                    return
            if await self.unit.told(event_id) is not None:  # it came again from a stream that counts anew
                return
        # Its handler wrote down itself that it is done with it, and found only then that there was nothing to do.
        await self._announce(event, context, event_id=event_id)


def _refused(made: str) -> str:
    return f"refused/{made}"


def _event_id(delivery: Delivery) -> str:
    return message_id_after("refused", delivery.message_id)


def _event(delivery: Delivery, error: RefusedError) -> CommandRefused:
    actor = delivery.context.actor
    return CommandRefused(
        owner=actor.removeprefix("user:") if actor.startswith("user:") else None,
        command=".".join(delivery.subject.split(".")[2:4]),
        command_id=delivery.message_id,
        code=error.code,
        detail=error.detail[:_TOLD],
    )
