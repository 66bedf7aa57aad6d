"""What the blocks of a token may cost to check: their holder wrote them, and may want to keep us busy.

The Datalog engine looks at its clock only between its rounds, and one round over a few facts, each combined with each,
can take minutes. So the blocks are measured before anything is run: by their bytes, for their text as the library
prints it is not always what they say.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["is_affordable"]

_MOST_BLOCKS = 32
_MOST_FACTS = 64
_MOST_OPERATIONS = 64
"""In one choice of a check."""
_LONGEST = 1024
"""Bytes of a word or a fact."""
_MOST = 100_000
"""Bytes of checks, each as often as there are ways to combine facts in it: some milliseconds."""
_ALIKE = 3
"""Facts of one name that are there anyway, at most."""
_PATTERN = 25_000
"""What a regular expression costs, by the same measure."""

_AUTHORITY, _BLOCKS, _BLOCK = 2, 3, 1
_SYMBOLS, _FACTS, _RULES, _CHECKS = 1, 4, 5, 6
_QUERIES, _BODY, _EXPRESSIONS, _OPERATIONS = 1, 2, 3, 1
_BINARY, _CLOSURE, _KIND, _REGEX = 3, 4, 1, 8
"""Numbers of fields, by the format of Biscuits."""


class _MalformedError(Exception):
    """These bytes are no message."""


@dataclass(frozen=True, slots=True)
class _Field:
    number: int
    value: int
    data: bytes


def is_affordable(token: str) -> bool:
    """Say whether what was appended to a token is some facts and plain checks, with few ways to try them.

    Rules and closures are refused: narrowing needs none, and both multiply.
    """
    try:
        fields = list(_read(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))))
        blocks = [_one(field.data, _BLOCK) for field in fields if field.number == _BLOCKS]
        if len(blocks) >= _MOST_BLOCKS or sum(field.number == _AUTHORITY for field in fields) != 1:
            return False
        read = [list(_read(block)) for block in blocks]
        return _is_plain(read) and _cost_of(read) <= _MOST
    except (_MalformedError, ValueError):
        return False


def _is_plain(blocks: list[list[_Field]]) -> bool:
    everything = [field for block in blocks for field in block]
    if any(field.number == _RULES for field in everything):
        return False
    words = [field for field in everything if field.number in {_SYMBOLS, _FACTS}]
    return all(len(word.data) <= _LONGEST for word in words)


def _cost_of(blocks: list[list[_Field]]) -> int:
    facts = sum(field.number == _FACTS for block in blocks for field in block)
    if facts > _MOST_FACTS:
        return _MOST + 1
    checks = [field.data for block in blocks for field in block if field.number == _CHECKS]
    queries = [query.data for check in checks for query in _read(check) if query.number == _QUERIES]
    return sum(_cost(query, facts + _ALIKE) for query in queries)


def _cost(query: bytes, alike: int) -> int:
    fields = list(_read(query))
    ways: int = alike ** min(sum(field.number == _BODY for field in fields), 16)
    operations = [
        operation
        for field in fields
        if field.number == _EXPRESSIONS
        for operation in _read(field.data)
        if operation.number == _OPERATIONS
    ]
    if len(operations) > _MOST_OPERATIONS:
        return _MOST + 1
    parts = [part for operation in operations for part in _read(operation.data)]
    if any(part.number == _CLOSURE for part in parts):
        return _MOST + 1
    patterns = sum(part.number == _BINARY and _is_pattern(part.data) for part in parts)
    return ways * (len(query) + patterns * _PATTERN)


def _is_pattern(operation: bytes) -> bool:
    return any(field.number == _KIND and field.value == _REGEX for field in _read(operation))


def _one(message: bytes, number: int) -> bytes:
    """Return a field that must be there once: of two, one reader would take the first and another the last."""
    found = [field.data for field in _read(message) if field.number == number]
    if len(found) != 1:
        raise _MalformedError
    return found[0]


def _read(message: bytes) -> Iterator[_Field]:
    """Give the fields of a message, in the wire format of protocol buffers."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        kind, value, data = key & 7, 0, b""
        if kind == 0:
            value, place = _varint(message, place)
        elif kind in {1, 5}:
            place += 8 if kind == 1 else 4
        elif kind == 2:
            size, place = _varint(message, place)
            data, place = message[place : place + size], place + size
        else:
            raise _MalformedError
        if place > len(message):
            raise _MalformedError
        yield _Field(key >> 3, value, data)


def _varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while place < len(message) and shift < 64:
        byte = message[place]
        value, place = value | (byte & 0x7F) << shift, place + 1
        if byte < 0x80:
            return value, place
        shift += 7
    raise _MalformedError
