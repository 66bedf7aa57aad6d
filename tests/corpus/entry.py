"""What an entry of the corpus says, and the loader that finds them all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import import_module
from typing import Any

__all__ = ["Entry", "How", "load"]

_FILES = ("words", "bodies", "jobs", "heads", "wire", "messages")


class How(StrEnum):
    """How an entry is applied."""

    WORD = "word"
    """As a path segment, a query parameter or a header of any route."""
    BODY = "body"
    """As the whole body of any route that takes one."""
    JOB = "job"
    """As fields of a job that is submitted."""
    HEAD = "head"
    """As headers, or a query, of any request."""
    WIRE = "wire"
    """As the bytes on the connection."""
    MESSAGE = "message"
    """As the body, or the headers, of a message on any subject."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One piece of bad input."""

    name: str
    attacks: str
    """What would go wrong where nobody looks."""
    how: How
    value: Any
    place: str = ""
    """The field, or header, that the answer must name."""
    status: frozenset[int] = frozenset()
    """What may be answered; empty: whatever is no 5xx."""
    headers: Mapping[str, str] = field(default_factory=dict)


def load(*hows: How) -> list[Entry]:
    """Return the entries that are applied in one of these ways, or all."""
    entries = [entry for name in _FILES for entry in import_module(f"tests.corpus.{name}").ENTRIES]
    return [entry for entry in entries if not hows or entry.how in hows]
