"""The headers of HTTP that the gateway reads, in every shape that somebody may send."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.exceptions import HTTPException

from contracts.errors import InvalidError
from services.gateway.api.conditional import matches, revision_of
from services.gateway.api.preferences import Preference, read_idempotency_key, read_preference
from services.gateway.api.ranges import read_range
from services.gateway.follow import Position


@pytest.mark.parametrize(
    ("header", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=5-", 5, 10),
        ("bytes=-3", 7, 10),
        ("bytes=-99", 0, 10),
        ("bytes=2-99", 2, 10),
    ],
)
def test_a_range_is_cut_out(header: str, start: int, end: int) -> None:
    span = read_range(header, 10)
    assert (span.start, span.end, span.status) == (start, end, 206)
    assert span.to_headers()["Content-Range"] == f"bytes {start}-{end - 1}/10"


@pytest.mark.parametrize("header", [None, "", "bytes=", "bytes=-", "lines=1-2", "bytes=1-2,4-5", "bytes=5-2", "x"])
def test_a_range_of_another_form_is_passed_over(header: str | None) -> None:
    span = read_range(header, 10)
    assert (span.length, span.status, span.partial) == (10, 200, False)


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-12", "bytes=-0"])
def test_a_range_that_is_not_there_is_refused(header: str) -> None:
    with pytest.raises(HTTPException) as refused:
        read_range(header, 10)
    assert refused.value.status_code == 416
    assert refused.value.headers == {"Content-Range": "bytes */10"}


@given(st.text(), st.integers(0, 2**40))
def test_whatever_range_is_asked_for_lies_within_the_bytes(header: str, size: int) -> None:
    try:
        span = read_range(header, size)
    except HTTPException:
        return
    assert 0 <= span.start <= span.end <= size


@pytest.mark.parametrize(
    ("header", "preference"),
    [
        (None, Preference()),
        ("return=minimal", Preference()),
        ("respond-async", Preference(0.0, "respond-async")),
        ("handling=lenient, wait=7", Preference(7.0, "wait=7")),
        ('Wait = "3"; x=1', Preference(3.0, "wait=3")),
        ("wait=99999", Preference(60.0, "wait=60")),
        ("wait=-1", Preference()),
        ("wait=soon", Preference()),
    ],
)
def test_preferences_are_read_as_the_rfc_has_them(header: str | None, preference: Preference) -> None:
    assert read_preference(header) == preference


@given(st.text(max_size=300))
def test_a_key_is_visible_and_short_or_refused(header: str) -> None:
    good = 1 <= len(header) <= 255 and all("!" <= character <= "~" for character in header)
    if good:
        assert read_idempotency_key(header) == header
    else:
        with pytest.raises(InvalidError):
            read_idempotency_key(header)


def test_a_condition_names_a_tag_or_any() -> None:
    assert matches('"4"', '"4"')
    assert matches('W/"4", "5"', '"5"')
    assert matches("*", '"4"')
    assert not matches('"44"', '"4"')
    assert not matches(None, '"4"')
    assert revision_of('W/"12"') == 12
    assert revision_of('"a", "b"') is None
    assert revision_of(None) is None


@given(st.builds(Position, *[st.integers(0, 10**9 - 1)] * 4))
def test_a_position_is_read_back(position: Position) -> None:
    assert Position.read(str(position)) == position


@pytest.mark.parametrize("text", ["1", "1.2.3", "a.b.c.d", "1.2.3.4.5", "-1.2.3.4", "1.2.3.4\n", "9" * 99])
def test_a_position_of_somebody_elses_is_refused(text: str) -> None:
    with pytest.raises(InvalidError):
        Position.read(text)
