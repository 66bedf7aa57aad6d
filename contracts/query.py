"""What every question is."""

from __future__ import annotations

from typing import Any, ClassVar, Generic, TypeVar

from .errors import Problem
from .model import Message, Model

__all__ = ["Query", "Reply"]

_Answer = TypeVar("_Answer")


class Reply(Model, Generic[_Answer]):
    """What comes back: an answer or a problem, never both."""

    answer: _Answer | None = None
    problem: Problem | None = None


class Query(Message):
    """A question. `answer` names what a good reply holds."""

    service: ClassVar[str]
    answer: ClassVar[Any]
