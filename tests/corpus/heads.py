"""Headers and queries of a request that is good otherwise."""

from __future__ import annotations

from .entry import Entry, How

__all__ = ["ENTRIES"]


def _head(name: str, attacks: str, place: str, value: list[tuple[str, str]], *status: int) -> Entry:
    return Entry(name, attacks, How.HEAD, value, place=place, status=frozenset(status))


ENTRIES = (
    _head("a header of 40 KB", "memory", "headers", [("X-Large", "x" * 40_000)], 431),
    _head("a thousand headers", "memory", "headers", [(f"X-{n}", "x" * 40) for n in range(1000)], 431),
    _head("a URL of 20 KB", "memory", "url", [("?x", "x" * 20_000)], 414),
    _head("two tokens", "whoever reads the other one", "Authorization", [("Authorization", "Bearer other")], 400),
    _head("unknown parameter", "silent slips", "limt", [("?limt", "1")], 422),
    _head("unknown parameter of 8 KB", "answers", "x" * 64, [("?" + "x" * 8000, "1")], 422),
    _head("a thousand unknown parameters", "answers", "p0", [(f"?p{n}", "1") for n in range(1000)], 422),
    _head("method override", "rights", "", [("X-HTTP-Method-Override", "DELETE")]),
    _head("path override", "rights", "", [("X-Original-URL", "/metrics"), ("X-Rewrite-URL", "/metrics")]),
    _head("somebody else's address", "local mode", "", [("X-Forwarded-For", "127.0.0.1")]),
    _head("a broken trace", "logs", "", [("traceparent", "00-" + "0" * 32 + "-" + "0" * 16 + "-01")]),
    _head("a strange Accept", "guesses", "", [("Accept", "application/xml;q=zzz,*/*;q=-1")]),
    _head("a broken Range", "ranges", "", [("Range", "bytes=9-1,-0,,x")]),
)
