"""When an event is sent again, and when it is given up."""

from __future__ import annotations

from datetime import datetime
from email.utils import parsedate_to_datetime

from contracts.model import now
from services.scheduler.patience import Patience

__all__ = ["pause_after", "read_retry_after"]


def pause_after(attempts: int, settings: Patience, asked: float | None = None) -> float | None:
    """Return the seconds before the next try after so many, None if there is none.

    A target that asks for a longer pause gets it, up to the longest one.
    """
    if attempts >= settings.attempts:
        return None
    doubled = settings.first_pause * 2.0 ** (attempts - 1)
    return min(max(doubled, asked or 0.0), settings.longest_pause)


def read_retry_after(value: str | None, moment: datetime | None = None) -> float | None:
    """Return the seconds that a target asks us to wait: a number or a date (RFC 9110)."""
    if value is None:
        return None
    word = value.strip()
    if word.isascii() and word.isdigit():
        return float(word[:9])
    try:
        until = parsedate_to_datetime(word)
        return max(0.0, (until - (moment or now())).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None
