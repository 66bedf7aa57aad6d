"""What a word from outside may hold, wherever it is going to be shown, stored or handed to a program."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["plain_line", "refuse_flag", "utf8_size"]

_HIDDEN = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u2028-\\u202e\\u2066-\\u2069\\ufeff\\ud800-\\udfff]")
"""Control characters, ends of lines, what turns the direction of the text after it, and halves of pairs."""


def plain_line(value: str) -> str:
    """Return *value* if it is one line that looks like what it is, or say which character is not allowed."""
    if not value.isascii() or not value.isprintable():
        found = _HIDDEN.search(value)
        if found:
            name = unicodedata.name(found[0], "control character")
            raise ValueError(f"the character U+{ord(found[0]):04X} ({name.lower()}) is not allowed")
    return value


def refuse_flag(value: object) -> object:
    """Return *value* unless it is true or false, which Python would take for the numbers 1 and 0."""
    if isinstance(value, bool):
        raise ValueError("must be a number, not true or false")  # noqa: TRY004 (pydantic reports ValueError)
    return value


def utf8_size(value: str) -> int:
    """Return how many bytes a text takes."""
    return len(value) if value.isascii() else len(value.encode("utf-8", "surrogatepass"))
