"""Forms are read as they come, however they are cut, and never into more than is allowed."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from contracts.errors import InvalidError, TooLargeError
from services.chassis.multipart import read_form
from services.gateway.forms import InvalidFormError, form_files

BOUNDARY = "b0und"
KIND = f'multipart/form-data; boundary="{BOUNDARY}"'


def _field(name: str, content: bytes, filename: str | None = None) -> bytes:
    head = f'Content-Disposition: form-data; name="{name}"' + (f'; filename="{filename}"' if filename else "")
    return f"--{BOUNDARY}\r\n{head}\r\n\r\n".encode() + content + b"\r\n"


def _form(*fields: bytes) -> bytes:
    return b"".join(fields) + f"--{BOUNDARY}--\r\n".encode()


async def _cut(body: bytes, *places: int) -> AsyncIterator[bytes]:
    cuts = [0, *sorted(place % (len(body) + 1) for place in places), len(body)]
    for start, end in itertools.pairwise(cuts):
        yield body[start:end]


@given(content=st.binary(max_size=300), places=st.lists(st.integers(0, 10_000), max_size=12))
async def test_a_form_is_the_same_however_it_is_cut(content: bytes, places: list[int]) -> None:
    tricky = content + f"\r\n--{BOUNDARY}".encode()[: len(content) % 9]
    body = _form(_field("key", b"a/${filename}"), _field("file", tricky, "mein 日本.txt"), _field("last", b""))
    found = [
        (part.name, part.filename, b"".join([piece async for piece in part.pieces]))
        async for part in read_form(KIND, _cut(body, *places))
    ]
    assert found == [("key", None, b"a/${filename}"), ("file", "mein 日本.txt", tricky), ("last", None, b"")]


async def test_what_nobody_takes_is_passed_over() -> None:
    body = _form(_field("file", b"x" * 1000, "a"), _field("last", b"1"))
    assert [part.name async for part in read_form(KIND, _cut(body, 5, 500))] == ["file", "last"]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/plain", b""),
        ("multipart/form-data", b""),
        (KIND, b""),
        (KIND, b"nothing of the kind"),
        (KIND, _form(_field("file", b"x", "a"))[:-10]),
        (KIND, f"--{BOUNDARY}\r\n".encode() + b"X-A: " + b"b" * 10_000),
    ],
    ids=range(6),
)
async def test_what_is_no_form_is_refused(kind: str, body: bytes) -> None:
    with pytest.raises(InvalidError):
        assert [await part.text() async for part in read_form(kind, _cut(body))]


def _request(body: bytes, kind: str = KIND, length: int | None = None) -> Request:
    left = [body[start : start + 700] for start in range(0, len(body), 700)]
    headers = [(b"content-type", kind.encode())] + ([(b"content-length", str(length).encode())] if length else [])

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": left.pop(0) if left else b"", "more_body": bool(left)}

    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


async def test_files_of_a_form_are_kept_until_they_are_wanted() -> None:
    large = bytes(range(256)) * 8192
    body = _form(
        _field("note", b"x"), _field("file", large, "large"), _field("file", b"", "empty"), _field("file", b"no")
    )
    async with form_files(_request(body), "file", 10**7) as files:
        found = [(file.name, file.size, b"".join([piece async for piece in file.pieces()])) for file in files]
    assert found == [("large", len(large), large), ("empty", 0, b"")]


@pytest.mark.parametrize("length", [None, 10**9])
async def test_a_form_is_held_to_its_size(length: int | None) -> None:
    body = _form(_field("file", b"x" * 600, "a"), _field("file", b"x" * 600, "b"))
    with pytest.raises(TooLargeError):
        async with form_files(_request(body, length=length), "file", 1000):
            pass
    with pytest.raises(InvalidFormError):
        async with form_files(_request(b"{}", "application/json"), "file", 1000):
            pass
