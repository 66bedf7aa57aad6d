"""`multipart/form-data`, read as it comes: a file goes where it belongs without lying anywhere in between."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from contracts.errors import InvalidError, TooLargeError

__all__ = ["FormPart", "read_form"]

_MOST_HEAD = 8 * 1024
"""Bytes of what stands before a field."""

_MOST_TEXT = 64 * 1024
"""Bytes of a field that is no file."""


class _Begin:
    """A field begins; what its headers say."""

    def __init__(self, headers: dict[str, bytes]) -> None:
        self.headers = headers


class _End:
    """A field ends, or with it the form."""


_Event = _Begin | _End | bytes


@dataclass(slots=True)
class FormPart:
    """One field of a form. Take its pieces before the next one."""

    name: str
    filename: str | None
    """What the client calls the file; none for what is no file. Not checked."""
    content_type: str
    pieces: AsyncIterator[bytes]

    async def text(self) -> str:
        """Return a short field as text."""
        found = bytearray()
        async for piece in self.pieces:
            found += piece
            if len(found) > _MOST_TEXT:
                raise TooLargeError(f"the field {self.name[:64]!r} is longer than {_MOST_TEXT} bytes")
        return found.decode("utf-8", "replace")


async def read_form(content_type: str, chunks: AsyncIterator[bytes]) -> AsyncIterator[FormPart]:
    """Give the fields of a form in their order; raises `InvalidError` where it is none, or ends too early."""
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise InvalidError.of("body", "must be multipart/form-data")
    events = _Events(boundary, chunks)
    while (event := await events.next()) is not None:
        if isinstance(event, _Begin):
            part = _part_of(event, _pieces(events))
            yield part
            async for _ in part.pieces:  # what nobody wanted
                pass


async def _pieces(events: _Events) -> AsyncIterator[bytes]:
    while isinstance(event := await events.next(), bytes):
        yield event


def _part_of(event: _Begin, pieces: AsyncIterator[bytes]) -> FormPart:
    _, options = parse_options_header(event.headers.get("content-disposition"))
    filename = options.get(b"filename")
    return FormPart(
        name=options.get(b"name", b"").decode("utf-8", "replace"),
        filename=None if filename is None else filename.decode("utf-8", "replace"),
        content_type=event.headers.get("content-type", b"application/octet-stream").decode("latin-1"),
        pieces=pieces,
    )


@dataclass(slots=True)
class _Head:
    """The headers of a field while they come."""

    found: dict[str, bytes] = field(default_factory=dict)
    name: bytearray = field(default_factory=bytearray)
    value: bytearray = field(default_factory=bytearray)
    size: int = 0

    def end_header(self) -> None:
        self.found[self.name.decode("latin-1").lower()] = bytes(self.value)
        self.name, self.value = bytearray(), bytearray()


class _Events:
    """What a parser finds in the chunks of a body."""

    def __init__(self, boundary: bytes, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._found: deque[_Event] = deque()
        self._head = _Head()
        self._ended = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._name,
                "on_header_value": self._value,
                "on_header_end": self._end_header,
                "on_headers_finished": lambda: self._found.append(_Begin(self._head.found)),
                # Of a whole chunk this is no copy.
                "on_part_data": lambda data, start, end: self._found.append(data[start:end]),
                "on_part_end": lambda: self._found.append(_End()),
                "on_end": self._end,
            },
        )

    async def next(self) -> _Event | None:
        """Return the next event, none after the last."""
        while not self._found:
            chunk = await anext(self._chunks, None)
            if chunk is None:
                if not self._ended:
                    raise InvalidError.of("body", "ends in the middle of the form")
                return None
            try:
                self._parser.write(chunk)
            except FormParserError as error:
                raise InvalidError.of("body", f"is no form: {error}") from error
        return self._found.popleft()

    def _begin(self) -> None:
        self._head = _Head()

    def _end_header(self) -> None:
        self._head.end_header()

    def _end(self) -> None:
        self._ended = True

    def _name(self, data: bytes, start: int, end: int) -> None:
        self._head.name += self._counted(data, start, end)

    def _value(self, data: bytes, start: int, end: int) -> None:
        self._head.value += self._counted(data, start, end)

    def _counted(self, data: bytes, start: int, end: int) -> bytes:
        self._head.size += end - start
        if self._head.size > _MOST_HEAD:
            raise FormParserError("a field's head is too long")
        return data[start:end]
