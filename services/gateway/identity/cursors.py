"""Cursors of identity's lists: the name behind which the next page begins."""

from __future__ import annotations

import base64
import binascii

from contracts.errors import InvalidError

__all__ = ["read_cursor", "write_cursor"]


def write_cursor(kind: str, place: str) -> str:
    """Return the cursor of a place in one kind of list."""
    return base64.urlsafe_b64encode(f"{kind}:{place}".encode()).decode().rstrip("=")


def read_cursor(kind: str, cursor: str | None) -> str:
    """Return the place, empty for the beginning; refuse what is no cursor of this list."""
    if cursor is None:
        return ""
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (ValueError, binascii.Error):
        text = ""
    found, colon, place = text.partition(":")
    if found != kind or not colon or "\x00" in place:
        raise InvalidError.of("cursor", "this is no cursor of this list")
    return place
