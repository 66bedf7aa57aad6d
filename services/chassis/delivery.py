"""What comes with a message, and which command it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nats.aio.msg import Msg
from pydantic import BaseModel, ValidationError

from contracts.commands import Command
from contracts.envelope import Context, Envelope, is_message_id
from contracts.subjects import subject_of

from .answers import Written
from .errors import invalid_from
from .parking import ORIGINAL_ID

__all__ = ["MESSAGE_ID", "ByType", "CommandHandler", "Delivery", "delivery_of", "direct_delivery", "read_command"]

MESSAGE_ID = "Nats-Msg-Id"
"""The header by which a stream knows a message that it has already."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What came with a message: its id, the context of whatever it causes, its place in the stream."""

    message_id: str
    context: Context
    subject: str = ""
    sequence: int = 0
    deliveries: int = 1
    envelope: Envelope | None = None
    """The message itself, read once; none if it came without an envelope."""


CommandHandler = Callable[[Any, Delivery], Awaitable[BaseModel | Written]]
ByType = Mapping[str, tuple[type[Command], CommandHandler]]


def read_command(raw: bytes, delivery: Delivery, by_type: ByType) -> tuple[Command, CommandHandler]:
    """Return a command and who obeys it; raises what speaks against it."""
    try:
        envelope = delivery.envelope or Envelope.from_bytes(raw)
        kind, handler = by_type[envelope.type]
        return envelope.unwrap(kind), handler
    except ValidationError as error:
        raise invalid_from(error) from error
    except KeyError as error:
        # Not refused: a newer replica beside us may know it, and if none does it is parked for an operator.
        raise LookupError(f"no handler for {error} here") from error


def delivery_of(raw: Msg) -> Delivery:
    """Say where a message stands; a body that is no envelope still has a place and an id."""
    metadata = raw.metadata
    place = (raw.subject, metadata.sequence.stream, metadata.num_delivered)
    try:
        envelope = Envelope.from_bytes(raw.data)
    except ValidationError:
        headers = raw.headers or {}
        # What an operator sent again has an id of its own for the stream, and keeps its old one for the inbox.
        message_id = headers.get(ORIGINAL_ID) or headers.get(MESSAGE_ID, "")
        if not is_message_id(message_id):
            message_id = f"{metadata.stream}-{metadata.sequence.stream}"
        return Delivery(message_id, Context.start("service:unknown"), *place)
    return Delivery(envelope.id, envelope.to_context(), *place, envelope)


def direct_delivery(raw: bytes, kind: type[Command]) -> tuple[Command, Delivery]:
    """Do the same for a command of a known kind that came past the stream, and say what came with it.

    Raises `ValueError` or `LookupError` for what is none.
    """
    envelope, command = Envelope.read(raw, kind)
    return command, Delivery(envelope.id, envelope.to_context(), subject_of(command))
