"""The envelope round every command and event: CloudEvents 1.0, structured, with who, why and which trace."""

from __future__ import annotations

import builtins
import re
import secrets
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal, Self, TypeVar

import orjson
from pydantic import Field, create_model, field_validator
from pydantic_core import to_json

from .ids import message_id
from .model import Message, Model, Timestamp, now, rfc3339

__all__ = ["Context", "Envelope", "is_message_id", "type_of"]

_MESSAGE_ID = re.compile(r"[\x21-\x7e]{1,128}")
_LONGEST = 1024

_TYPE_PREFIX = "org.shunter"

_M = TypeVar("_M", bound=Message)


def is_message_id(word: str) -> bool:
    """Say whether a word can name a message wherever its name is kept."""
    return _MESSAGE_ID.fullmatch(word) is not None


def type_of(message: type[Message] | Message) -> str:
    """Return the CloudEvents type, e.g. `org.shunter.workload.submit.v1`."""
    return f"{_TYPE_PREFIX}.{message.name}.v{message.version}"


def _new_traceparent() -> str:
    """Start a W3C trace: version, trace id, span id, sampled."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


@dataclass(frozen=True, slots=True)
class Context:
    """Who caused a message, and by what."""

    actor: str
    correlation: str
    causation: str | None
    traceparent: str

    @classmethod
    def start(cls, actor: str, *, correlation: str | None = None, traceparent: str | None = None) -> Self:
        """Begin a new chain of messages."""
        return cls(actor, correlation or message_id(), None, traceparent or _new_traceparent())

    def acting_as(self, actor: str) -> Context:
        """Go on in the same chain as somebody else."""
        return replace(self, actor=actor)


class Envelope(Model):
    """A CloudEvent. The attribute names are the standard's: lower case, no underscores."""

    specversion: Literal["1.0"] = "1.0"
    id: str
    """Also the `Nats-Msg-Id`: the same id twice is the same message."""
    source: str
    """The service that says it, e.g. `/services/scheduler`."""
    type: str
    subject: str
    """What it is about."""
    time: Timestamp
    datacontenttype: Literal["application/json"] = "application/json"
    actor: str
    """Who caused it: `user:<subject>` or `service:<name>`."""
    correlationid: str
    causationid: str | None = None
    traceparent: str
    owner: str | None = None
    """Who may see it, where it belongs to somebody."""
    project: str | None = None
    data: dict[str, Any] = Field(default={})

    @field_validator("id")
    @classmethod
    def _check_id(cls, value: str) -> str:
        # It becomes a header, a key of the inbox and part of other identifiers.
        if not is_message_id(value):
            raise ValueError("must be 1 to 128 visible ASCII characters")
        return value

    @field_validator("source", "type", "subject", "actor", "correlationid", "causationid", "traceparent")
    @classmethod
    def _check_length(cls, value: str | None) -> str | None:
        # What is caused by a message repeats them, and must still fit into a message.
        if value is not None and len(value) > _LONGEST:
            raise ValueError(f"must not be longer than {_LONGEST} characters")
        return value

    @classmethod
    def wrap(cls, message: Message, context: Context, *, source: str, subject: str, id: str | None = None) -> Self:  # noqa: A002 (the standard's name)
        """Put a message into an envelope."""
        data = message.model_dump(mode="json", by_alias=True)
        return cls.model_validate({**_written_on(message, context, source, subject, id), "data": data})

    @classmethod
    def write(
        cls,
        message: Message,
        context: Context,
        *,
        source: str,
        subject: str,
        id: str | None = None,  # noqa: A002
    ) -> tuple[Self, bytes]:
        """Write a message in an envelope, which is half the work of putting it in first; returns the empty one too."""
        envelope = cls.model_validate(_written_on(message, context, source, subject, id))
        data = message.model_dump_json(by_alias=True).encode()
        return envelope, b"".join((_head_of(envelope), b',"data":', data, b"}"))

    def unwrap(self, kind: builtins.type[_M]) -> _M:
        """Take the message out; fields that this version does not know are passed over."""
        return kind.model_validate(self.data, extra="ignore")

    def to_bytes(self) -> bytes:
        """Write it as it goes over the wire."""
        fields = {name: value for name, value in self.__dict__.items() if value is not None}
        return to_json({**fields, "time": rfc3339(self.time)}, inf_nan_mode="null")

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """Read it from the wire."""
        return cls.model_validate_json(raw, extra="ignore")

    @classmethod
    def read(cls, raw: bytes, kind: builtins.type[_M]) -> tuple[Envelope, _M]:
        """Read one from the wire together with the message of a known kind that is in it.

        That is one pass for both. Raises `LookupError` for a message of another kind; fields that this version does
        not know are passed over.
        """
        envelope = _carrying(kind).model_validate_json(raw, extra="ignore")
        if envelope.type != type_of(kind):
            raise LookupError(f"a message of type {envelope.type!r} came as a {type_of(kind)!r}")
        return envelope, envelope.__dict__["data"]

    def to_context(self) -> Context:
        """Return the context of whatever this message causes."""
        return Context(self.actor, self.correlationid, self.id, self.traceparent)


@cache
def _carrying(kind: type[Message]) -> type[Envelope]:
    """Return what envelopes are that hold a message of one kind; making it takes far longer than a reading."""
    return create_model(f"{kind.__name__}Envelope", __base__=Envelope, data=(kind, ...))


def _head_of(envelope: Envelope) -> bytes:
    """Write an envelope without what is in it, and without its end."""
    fields = {name: value for name, value in envelope.__dict__.items() if value is not None}
    del fields["data"]
    return orjson.dumps({**fields, "time": rfc3339(envelope.time)})[:-1]


def _written_on(message: Message, context: Context, source: str, subject: str, name: str | None) -> dict[str, Any]:
    """Return what stands on the envelope of a message."""
    return {
        "id": name or message_id(),
        "source": f"/services/{source}",
        "type": type_of(message),
        "subject": subject,
        "time": now(),
        "actor": context.actor,
        "correlationid": context.correlation,
        "causationid": context.causation,
        "traceparent": context.traceparent,
        "owner": message.__dict__.get("owner"),
        "project": message.__dict__.get("project"),
    }
