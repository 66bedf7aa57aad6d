"""What a body must be before anybody reads it."""

from __future__ import annotations

import pytest

from contracts.errors import InvalidError
from services.gateway.bodies import MOST_NESTED, check_json


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (b'{"a": "\xff"}', "not UTF-8 from byte 7"),
        (b"[" * 65 + b"]" * 65, "deeper than 64"),
        (b'{"a":' * 100_000, "deeper than 64"),
        (b'{"a": 1, "a": 2}', "stands twice"),
        (b'{"a": {"b": [{"c": 1, "c": 1}]}}', "stands twice"),
        (b'{"\\ud800": 1}', "surrogate"),
        (b"NaN", "NaN is not JSON"),
        (b"[1e999]", "1e999 is too large"),
        (b"9" * 5000, "too long"),
        (b"{", "is not JSON"),
    ],
)
def test_json_that_two_readers_would_take_for_different_things_is_refused(raw: bytes, says: str) -> None:
    with pytest.raises(InvalidError, match=says) as caught:
        check_json(raw)
    assert caught.value.errors


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a": "' + b"[{" * 1000 + b'"}',
        b'{"a": "\\"' + b"[" * 1000 + b'\\\\"}',
        b"[" * MOST_NESTED + b"]" * MOST_NESTED,
        b"[" + b"[]," * 1000 + b"{}]",
        '{"é": "\\u00e9\U0001f4a3", "b": -0, "c": 1e-400}'.encode(),
    ],
)
def test_json_that_only_looks_so_is_taken(raw: bytes) -> None:
    check_json(raw)
