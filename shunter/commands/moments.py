"""Reading what `submit` is told about when: `--after` and `--start-at`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from pydantic import TypeAdapter, ValidationError

from contracts.errors import InvalidError
from contracts.resources import Span

__all__ = ["read_after", "read_moment"]

_AFTER = re.compile(r"^(?P<job>[^:+].*?)(?::(?P<on>success|failure|any))?(?:\+(?P<delay>[0-9][0-9.dhms]*))?$")
_CLOCK = re.compile(r"^([01]?\d|2[0-3]):([0-5]\d)$")
_SPAN = TypeAdapter(Span)


def read_after(values: Sequence[str], find: Callable[[str], str]) -> list[dict[str, Any]]:
    """Read `JOB[:on][+delay]` options; *find* gives the id of a job."""
    found = []
    for value in values:
        match = _AFTER.match(value)
        if match is None:
            raise InvalidError.of("after", f"{value!r} is not of the form JOB[:success|failure|any][+DELAY]")
        wish = {"job": find(match["job"]), "on": match["on"], "delay": match["delay"]}
        found.append({name: said for name, said in wish.items() if said is not None})
    return found


def read_moment(text: str, now: datetime) -> str:
    """Read a moment: `+2h`, `18:00` (the next one), or a date with a time, by default in the zone of *now*."""
    if text.startswith("+"):
        return (now + _span(text)).isoformat()
    if clock := _CLOCK.match(text):
        moment = now.replace(hour=int(clock[1]), minute=int(clock[2]), second=0, microsecond=0)
        return (moment if moment > now else moment + timedelta(days=1)).isoformat()
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidError.of("start-at", f"{text!r} is no moment: say +2h, 18:00 or 2030-01-31T18:00") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=now.tzinfo)).isoformat()


def _span(text: str) -> timedelta:
    try:
        return _SPAN.validate_python(text[1:])
    except ValidationError:
        raise InvalidError.of("start-at", f"{text!r} is no pause: say +90s, +1h30m or +2d") from None
