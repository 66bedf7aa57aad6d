"""Bytes on the connection; `TOKEN` stands for a good token."""

from __future__ import annotations

from .entry import Entry, How

__all__ = ["ENTRIES"]

_POST = (
    b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer TOKEN\r\nContent-Type: application/json\r\n"
)
_GET = b"GET /v1/whoami HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer TOKEN\r\n"


def _wire(name: str, attacks: str, value: bytes, *status: int) -> Entry:
    return Entry(name, attacks, How.WIRE, value, status=frozenset(status))


ENTRIES = (
    _wire("no HTTP", "parsers", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64) + b"\r\n\r\n", 400),
    _wire("HTTP/9.9", "parsers", b"GET / HTTP/9.9\r\n\r\n", 400),
    _wire("two tokens", "whoever reads the other one", _GET + b"authorization: Bearer x\r\n\r\n", 400),
    _wire("two hosts", "caches, local mode", _GET + b"Host: other.test\r\n\r\n", 400),
    _wire("CR in a header", "smuggling", _GET + b"X-A: b\rX-C: d\r\n\r\n", 400),
    _wire("NUL in a header", "C strings", _GET + b"X-A: b\x00c\r\n\r\n", 400),
    _wire("folded header", "smuggling", _GET + b"X-A: b\r\n c\r\n\r\n", 400, 200),
    _wire("blank before the colon", "smuggling", _GET + b"X-A : b\r\n\r\n", 400),
    _wire("a header of 64 KB", "memory", _GET + b"X-A: " + b"x" * 65_536 + b"\r\n\r\n", 431),
    _wire("a header without an end", "memory", _GET + b"X-A: " + b"x" * 2**20, 431),
    _wire("a URL without an end", "memory", b"GET /" + b"x" * 2**20, 431),
    _wire(
        "chunked and a length",
        "smuggling",
        _POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /v1/jobs HTTP/1.1\r\n\r\n",
        400,
    ),
    _wire("two lengths", "smuggling", _POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ", 400),
    _wire("a negative length", "arithmetic", _POST + b"Content-Length: -1\r\n\r\n", 400),
    _wire("a length of forty digits", "arithmetic", _POST + b"Content-Length: " + b"9" * 40 + b"\r\n\r\n", 400),
    _wire("a chunk without a size", "parsers", _POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", 400),
    _wire("1 GB announced", "memory", _POST + b"Content-Length: 1000000000\r\n\r\n{", 413),
    _wire(
        "20 MB in chunks",
        "memory",
        _POST + b"Transfer-Encoding: chunked\r\n\r\n" + (b"100000\r\n" + b" " * 2**20 + b"\r\n") * 20 + b"0\r\n\r\n",
        413,
    ),
    _wire(
        "trailers without an end",
        "memory",
        _POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n" + b"X-A: b\r\n" * 50_000,
        400,
    ),
    _wire(
        "a token in a trailer",
        "rights",
        b"POST /v1/audit/replay HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
        b"Authorization: Bearer TOKEN\r\n\r\n",
        401,
    ),
    _wire("a method that is none", "routing", b"BREW / HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, 405),
    _wire("a path that is none", "routing", b"GET //\\..%5c%00 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, 404),
    _wire("an upgrade", "protocols", _GET + b"Connection: upgrade\r\nUpgrade: h2c\r\n\r\n", 200, 400, 426),
)
