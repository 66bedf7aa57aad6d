"""The bases of everything that services say to each other."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, ClassVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, PlainSerializer

__all__ = ["Message", "Model", "Timestamp", "now", "rfc3339"]


def rfc3339(moment: datetime) -> str:
    """Return an aware moment as it is written everywhere: in UTC, with microseconds."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _within_reason(moment: datetime) -> datetime:
    # What cannot be said in UTC, or kept by a database, would break whoever reads it later.
    if not 1970 <= moment.year <= 9000:
        raise ValueError("must lie between the years 1970 and 9000")
    return moment


Timestamp = Annotated[
    AwareDatetime, AfterValidator(_within_reason), PlainSerializer(rfc3339, return_type=str, when_used="json")
]
"""An aware moment, written as RFC 3339 in UTC with microseconds."""


class Model(BaseModel):
    """A frozen value that crosses a border; unknown fields are refused unless the reader says otherwise.

    Users' input is validated as it stands here (`extra="forbid"`); the bus reads messages with
    `extra="ignore"`, so that an older service understands a newer one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_bytes="base64", val_json_bytes="base64")


class Message(Model):
    """A command, event, query or run message: a name that never changes, and fields that only grow."""

    name: ClassVar[str]
    """`<noun>.<verb or fact>`, the type of the message on the wire."""

    version: ClassVar[int] = 1
    """Raised only for a change that old readers cannot understand."""


def now() -> datetime:
    """Return the present moment, aware and in UTC."""
    return datetime.now(UTC)
