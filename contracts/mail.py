"""Who wants to be told of a job by mail, and of what."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints, field_validator

from .model import Model, Timestamp
from .states import WorkloadState

__all__ = ["MailAddress", "MailRefusal", "MailStanding", "MailWish", "Notify", "Occasion", "known_address"]

_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS = rf"[A-Za-z0-9!#$%&'*+/=?^_`{{|}}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{{|}}~-]+)*@{_LABEL}(\.{_LABEL})*"
_WHOLE = re.compile(_ADDRESS)
_LONGEST, _LONGEST_LOCAL = 254, 64

MailAddress = Annotated[str, StringConstraints(min_length=3, max_length=_LONGEST, pattern=f"^{_ADDRESS}$")]
"""An address that every mail server understands: without quotes, comments, or letters beyond ASCII."""


def known_address(text: object) -> str | None:
    """Return *text* if mail can be sent there, none for whatever else somebody may have written down."""
    if not isinstance(text, str) or len(text) > _LONGEST or not _WHOLE.fullmatch(text):
        return None
    return text if len(text.partition("@")[0]) <= _LONGEST_LOCAL else None


class Occasion(StrEnum):
    """What a mail can be about."""

    STARTED = "started"
    """It runs; said once, however many attempts there are."""
    HELD = "held"
    ENDED = "ended"
    """However it ended."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """Or got lost."""
    CANCELED = "canceled"

    def covers(self, state: WorkloadState) -> bool:
        """Say whether a move into *state* is such an occasion."""
        return state in _STATES[self]


_STATES: dict[Occasion, frozenset[WorkloadState]] = {
    Occasion.STARTED: frozenset({WorkloadState.RUNNING}),
    Occasion.HELD: frozenset({WorkloadState.HELD}),
    Occasion.ENDED: frozenset(state for state in WorkloadState if state.is_terminal),
    Occasion.SUCCEEDED: frozenset({WorkloadState.SUCCEEDED}),
    Occasion.FAILED: frozenset({WorkloadState.FAILED, WorkloadState.LOST}),
    Occasion.CANCELED: frozenset({WorkloadState.CANCELED}),
}


class Notify(Model):
    """Whom to tell of a job by mail."""

    on: list[Occasion] = Field(default=[Occasion.ENDED], min_length=1, max_length=len(Occasion), examples=[["ended"]])
    """Of what."""
    to: list[MailAddress] = Field(default=[], max_length=10, examples=[["team@example.org"]])
    """Where to; by default the owner's own address, as the site knows it. Others must be allowed by the site."""
    required: bool = True
    """Whether to refuse the job where no mail can be sent; else nobody is told then."""
    own: MailAddress | None = None
    """The owner's address as it was known at the submit. The site writes it, whatever is said here, and shows it to
    nobody."""

    @field_validator("on", "to")
    @classmethod
    def _check_once(cls, values: list[str]) -> list[str]:
        if len({value.lower() for value in values}) != len(values):
            raise ValueError("one is named twice")
        return values

    @property
    def recipients(self) -> list[str]:
        """Return where mail goes."""
        return [*self.to] or ([self.own] if self.own else [])

    def wants(self, state: WorkloadState) -> bool:
        """Say whether a move into *state* is told."""
        return any(occasion.covers(state) for occasion in self.on)

    def hidden(self) -> Notify:
        """Return it as it may be shown."""
        return self.model_copy(update={"own": None})


class MailWish(Model):
    """Whether somebody wants mail from this site at all."""

    opted_out: bool = Field(examples=[True])
    """True: none about jobs of theirs, wherever it would go; false: as their jobs say."""


class MailStanding(Model):
    """How it stands with somebody's mail."""

    sends: bool
    """Whether this site sends mail."""
    address: str | None = None
    """Where mail to them goes, as far as the site knows."""
    opted_out: bool = False
    """Whether they want none: said by themselves, or by the link in a mail to their address."""
    changed_at: Timestamp | None = None
    """Since when."""


class MailRefusal(Model):
    """An address that the link in a mail is about."""

    address: str
    refused: bool
    """Whether nothing is sent there any more."""
