"""Cursors of lists: a place in a table that means nothing to anybody else."""

from __future__ import annotations

import base64
import binascii
import re

from contracts.errors import InvalidError

__all__ = ["read_cursor", "write_cursor"]

_PLACE = re.compile(r"[0-9]{1,18}")


def write_cursor(seq: int, kind: str) -> str:
    """Return the cursor of the row numbered *seq* of one *kind* of list."""
    return base64.urlsafe_b64encode(f"{kind}{seq}".encode()).decode().rstrip("=")


def read_cursor(cursor: str, kind: str) -> int:
    """Return the place, or refuse what is no cursor of this list."""
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (ValueError, binascii.Error):
        text = ""
    place = text.removeprefix(kind)
    if not text.startswith(kind) or not _PLACE.fullmatch(place):
        raise InvalidError.of("cursor", "this is no cursor of this list")
    return int(place)
