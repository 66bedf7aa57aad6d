"""Bodies for every route that takes JSON."""

from __future__ import annotations

import gzip

from .entry import Entry, How

__all__ = ["ENTRIES"]

_FORM = frozenset({400})
_KIND = frozenset({415})
_LARGE = frozenset({413})
_CONTENT = frozenset({422})
_JSON = "application/json"


def _body(name: str, attacks: str, value: bytes, status: frozenset[int], kind: str = _JSON, **more: str) -> Entry:
    return Entry(name, attacks, How.BODY, value, status=status, headers={"Content-Type": kind, **more})


ENTRIES = (
    _body("nothing", "models", b"", _CONTENT),
    _body("null", "models", b"null", _CONTENT),
    _body("array", "models", b"[]", _CONTENT),
    _body("number", "models", b"1", _CONTENT),
    _body("text", "models", b'"x"', _CONTENT),
    _body("unknown field", "silent slips", b'{"no_such_field": 1}', _CONTENT),
    _body("unknown field with a long name", "answers", b'{"' + b"x" * 65_536 + b'": 1}', _CONTENT),
    _body("unknown field with control characters", "answers", b'{"\\u0000\\u001b[2J": 1}', _CONTENT),
    _body("10,000 unknown fields", "answers", b"{" + b",".join(b'"f%d":1' % n for n in range(10_000)) + b"}", _CONTENT),
    _body("depth 10,000, arrays", "stacks", b"[" * 10_000 + b"]" * 10_000, _FORM),
    _body("depth 10,000, objects", "stacks", b'{"a":' * 10_000 + b"1" + b"}" * 10_000, _FORM),
    _body("depth 100,000, never closed", "stacks", b"[" * 100_000, _FORM),
    _body("duplicate keys", "two readers", b'{"argv": ["true"], "argv": ["false"]}', _FORM),
    _body("duplicate keys, deep", "two readers", b'{"a": [{"b": 1, "b": 2}]}', _FORM),
    _body("NaN", "floats", b'{"a": NaN}', _FORM),
    _body("Infinity", "floats", b'{"a": -Infinity}', _FORM),
    _body("1e400", "floats", b'{"a": 1e400}', _FORM),
    _body("5,000 digits", "integers", b'{"a": ' + b"9" * 5000 + b"}", _FORM),
    _body("byte order mark", "parsers", b"\xef\xbb\xbf{}", _FORM),
    _body("invalid UTF-8", "parsers", b'{"a": "\xff\xfe"}', _FORM),
    _body("overlong UTF-8", "parsers", b'{"a": "\xc0\xaf"}', _FORM),
    _body("UTF-16", "parsers", "{}".encode("utf-16"), _FORM),
    _body("lone surrogate in a name", "writers of JSON", b'{"\\ud800": 1}', _FORM),
    _body("lone surrogate in a value", "writers of JSON", b'{"x": "\\udfff"}', _CONTENT),
    _body("cut off", "parsers", b'{"argv": ["tr', _FORM),
    _body("trailing", "parsers", b"{} {}", _FORM),
    _body("trailing comma", "lenient parsers", b'{"a": 1,}', _FORM),
    _body("comment", "lenient parsers", b"{} // no", _FORM),
    _body("HTML", "parsers", b"<script>alert(1)</script>", _FORM),
    _body("YAML", "guesses", b"a: !!python/object/apply:os.system [id]", _FORM),
    _body("JSON as a form", "guesses", b"argv=true", _KIND, "application/x-www-form-urlencoded"),
    _body("JSON as text", "guesses", b'{"argv": ["true"]}', _KIND, "text/plain"),
    _body("multipart", "guesses", b"--x\r\n\r\n--x--", _KIND, "multipart/form-data; boundary=x"),
    _body("gzip bomb", "memory", gzip.compress(bytes(10 * 2**20)), _KIND, **{"Content-Encoding": "gzip"}),
    _body("20 MB", "memory", b'{"a": "' + b"x" * 20_000_000 + b'"}', _LARGE),
)
