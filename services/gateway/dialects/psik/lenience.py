"""JSON as people type it into a terminal: a comma before a closing bracket is passed over; nothing else is."""

from __future__ import annotations

import re

__all__ = ["without_trailing_commas"]

_TOKENS = re.compile(r'"(?:[^"\\]++|\\.)*+"|,(?=\s*[}\]])', re.DOTALL)
"""Whole strings, so that what is in them is passed over, and commas before a closing bracket."""


def without_trailing_commas(text: str) -> str:
    """Return the text without the commas that JSON does not allow there."""
    return _TOKENS.sub(lambda found: "" if found[0] == "," else found[0], text)
