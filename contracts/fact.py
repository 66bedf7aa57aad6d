"""What every event is."""

from __future__ import annotations

from typing import ClassVar

from .model import Message

__all__ = ["Event"]


class Event(Message):
    """A fact. Its subject is `events.<noun>.<fact>.<id>`."""

    is_move: ClassVar[bool] = False
    """Whether it makes a new revision of what it is about."""

    @property
    def subject_id(self) -> str:
        """Return what it is about; the last token of the subject."""
        return "none"

    @property
    def subject_fact(self) -> str:
        """Return the fact; by default the second word of the name."""
        return self.name.partition(".")[2]
