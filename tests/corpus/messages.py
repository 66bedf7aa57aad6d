"""Messages for every subject: bodies that are none, and envelopes that do not hold what they say."""

from __future__ import annotations

import json
from typing import Any

from .entry import Entry, How

__all__ = ["ENTRIES", "GOOD"]

GOOD: dict[str, Any] = {
    "specversion": "1.0",
    "id": "forged",
    "source": "/services/nobody",
    "type": "org.shunter.workload.submit.v1",
    "subject": "x",
    "time": "2026-01-01T00:00:00.000000Z",
    "datacontenttype": "application/json",
    "actor": "user:mallory",
    "correlationid": "c",
    "traceparent": "00-" + "1" * 32 + "-" + "2" * 16 + "-01",
    "data": {},
}
"""An envelope in which all is well but what it holds."""


def _raw(name: str, attacks: str, value: bytes, **headers: str) -> Entry:
    return Entry(name, attacks, How.MESSAGE, value, headers=headers)


def _envelope(name: str, attacks: str, **changes: Any) -> Entry:
    return _raw(name, attacks, json.dumps({**GOOD, **changes}).encode())


ENTRIES = (
    _raw("nothing", "parsers", b""),
    _raw("no JSON", "parsers", b"\x00\xff\xfe junk"),
    _raw("null", "models", b"null"),
    _raw("array", "models", b"[]"),
    _raw("empty object", "models", b"{}"),
    _raw("depth 10,000", "stacks", b"[" * 10_000),
    _raw("NaN", "floats", b'{"time": NaN}'),
    _raw("7 MB", "what repeats it", b'{"id": "' + b"x" * 7_000_000 + b'"}'),
    _raw("as large as NATS takes", "what adds to it", b"x" * (8 * 2**20 - 200)),
    _raw("an id of 10 KB", "the inbox", b"{}", **{"Nats-Msg-Id": "x" * 10_000}),
    _raw("headers that nobody knows", "readers of headers", b"{}", **{"Shunter-Offset": "²", "Shunter-Reply-To": "a"}),
    _envelope("no data", "models"),
    _envelope("data of another type", "models", data=[]),
    _envelope("an empty id", "the inbox", id=""),
    _envelope("an id with a newline", "headers", id="a\r\nNats-Rollup: all"),
    _envelope("an id of 10 KB", "the inbox", id="x" * 10_000),
    _envelope("the year 9999", "clocks", time="9999-12-31T23:59:59-14:00"),
    _envelope("another standard", "models", specversion="99"),
    _envelope("another version", "older services", type="org.shunter.workload.submit.v99"),
    _envelope("a type that nobody handles", "tables of handlers", type="org.shunter.no.such.v1"),
    _envelope("a subject with wildcards", "subjects", subject="*.>"),
    _envelope("a correlation of 1 MB", "what repeats it", correlationid="x" * 1_000_000),
    _envelope("an actor with wildcards", "rights", actor="user:*.> \n"),
)
