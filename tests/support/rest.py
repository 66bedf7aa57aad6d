"""A Shunter server and its object store, played behind `httpx.MockTransport`."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from shunter.client import Client
from shunter.connection import Connection

__all__ = ["JOB_ID", "URL", "FakeServer", "FakeStore", "Stream", "job", "problem", "sse"]

URL = "http://shunter.test"
STORE = "http://store.test"
JOB_ID = "job-" + "0" * 31 + "1"

Answer = httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]


def job(state: str = "succeeded", **changes: Any) -> dict[str, Any]:
    """Return a job as the API shows it."""
    found = {
        "id": JOB_ID,
        "owner": "ada",
        "name": "train",
        "spec": {"argv": ["true"]},
        "state": state,
        "reason": "exited",
        "backend": "local",
        "created_at": "2026-11-20T10:00:00.000000Z",
        "updated_at": "2026-11-20T10:00:02.000000Z",
        "links": {"self": f"/v1/jobs/{JOB_ID}", "temporal_ui": "http://temporal.test/workflows/1"},
        "a_field_of_tomorrow": True,
    }
    return {**found, **changes}


def problem(status: int, code: str, detail: str = "no", **more: Any) -> httpx.Response:
    """Return a problem document."""
    headers = {"content-type": "application/problem+json", **more.pop("headers", {})}
    document = {"type": f"urn:shunter:problem:{code}", "title": code, "status": status, "detail": detail, "code": code}
    return httpx.Response(status, headers=headers, content=json.dumps({**document, **more}))


def sse(kind: str, data: dict[str, Any], event_id: str = "") -> bytes:
    """Return the bytes of one server-sent event."""
    return f"id: {event_id}\nevent: {kind}\ndata: {json.dumps(data)}\n\n".encode()


class Stream(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that comes in pieces; an exception among them breaks the connection off."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece


@dataclass
class FakeStore:
    """An object store with one multipart upload at a time."""

    part_size: int = 4
    parts: dict[int, bytes] = field(default_factory=dict)
    puts: list[int] = field(default_factory=list)
    failures: dict[int, deque[Answer]] = field(default_factory=dict)
    """For each part, what happens to the next PUTs instead of success."""
    content: bytes = b""
    ranges: list[str | None] = field(default_factory=list)
    downloads: deque[Answer] = field(default_factory=deque)
    """What happens to the next GETs instead of success."""

    def handle(self, request: httpx.Request) -> httpx.Response:
        assert "authorization" not in request.headers, "a token went to the store"
        if request.method == "GET":
            return self._get(request)
        number = int(request.url.path.removeprefix("/part/"))
        body = request.read()
        self.puts.append(number)
        if self.failures.get(number):
            return _play(self.failures[number].popleft(), request)
        assert request.headers["content-length"] == str(len(body))
        assert "transfer-encoding" not in request.headers
        self.parts[number] = body
        return httpx.Response(200, headers={"etag": f'"{hashlib.md5(body).hexdigest()}"'})

    def _get(self, request: httpx.Request) -> httpx.Response:
        wanted = request.headers.get("range")
        self.ranges.append(wanted)
        if self.downloads:
            answer = _play(self.downloads.popleft(), request)
            return answer if isinstance(answer.stream, Stream) else _streamed(answer.status_code, answer.content)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        return _streamed(206 if wanted else 200, self.content[start:])

    def plan(self, size: int) -> dict[str, Any]:
        """Return the parts that are missing, and those that are there."""
        count = max(1, -(-size // self.part_size))
        missing = [number for number in range(1, count + 1) if number not in self.parts]
        return {
            "ticket": "ticket",
            "part_size": self.part_size,
            "parts": [
                {
                    "number": number,
                    "offset": (number - 1) * self.part_size,
                    "size": min(self.part_size, size - (number - 1) * self.part_size),
                    "url": f"{STORE}/part/{number}?signature=secret",
                }
                for number in missing
            ],
            "done": [{"number": number, "etag": hashlib.md5(body).hexdigest()} for number, body in self.parts.items()],
            "expires_at": "2026-11-20T11:00:00Z",
        }

    def url(self) -> dict[str, Any]:
        """Return where its content is fetched."""
        sha256 = hashlib.sha256(self.content).hexdigest()
        size = len(self.content)
        return {"url": f"{STORE}/object", "size": size, "sha256": sha256, "expires_at": "2026-11-20T11:00:00Z"}


@dataclass
class FakeServer:
    """Answers from a script; the last answer of a route is repeated."""

    store: FakeStore = field(default_factory=FakeStore)
    requests: list[httpx.Request] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)
    _script: dict[tuple[str, str], deque[Answer]] = field(default_factory=dict)
    _size: int = 0

    def on(self, method: str, path: str, *answers: Answer | dict[str, Any]) -> FakeServer:
        """Answer a route, call after call."""
        made = [httpx.Response(200, json=answer) if isinstance(answer, dict) else answer for answer in answers]
        self._script[method, path] = deque(made)
        return self

    @property
    def transport(self) -> httpx.MockTransport:
        """Return what a client talks to."""
        return httpx.MockTransport(self.handle)

    def handle(self, request: httpx.Request) -> httpx.Response:
        if request.url.host == "store.test":
            return self.store.handle(request)
        self.requests.append(request)
        answers = self._script.get((request.method, request.url.path))
        if answers:
            return _play(answers.popleft() if len(answers) > 1 else answers[0], request)
        return self._files(request)

    def _files(self, request: httpx.Request) -> httpx.Response:
        said = json.loads(request.read() or b"{}")
        path = request.url.path
        if path == "/v1/uploads":
            self._size = said["size"]
            return httpx.Response(200, json=self.store.plan(self._size))
        if path == "/v1/uploads/resume":
            return httpx.Response(200, json=self.store.plan(self._size))
        if path == "/v1/uploads/complete":
            assert [part["number"] for part in said["parts"]] == sorted(self.store.parts)
            self.store.content = b"".join(self.store.parts[number] for number in sorted(self.store.parts))
            return httpx.Response(201, json=self._record("data/x.bin"))
        if path == "/v1/downloads":
            return httpx.Response(200, json=self.store.url())
        return problem(404, "not_found", f"{request.method} {path} is not in the script")

    def _record(self, path: str) -> dict[str, Any]:
        url = self.store.url()
        moment = "2026-11-20T10:00:00Z"
        return {"path": path, "owner": "ada", "size": url["size"], "sha256": url["sha256"], "created_at": moment}

    def client(self, cache: Path, **more: Any) -> Client:
        """Return a client that sleeps only on paper."""
        connection = more.pop("connection", Connection(URL))
        return Client(connection=connection, transport=self.transport, sleep=self.slept.append, cache=cache, **more)

    def paths(self) -> list[str]:
        """Return what was asked for."""
        return [f"{request.method} {request.url.path}" for request in self.requests]


def _streamed(status: int, content: bytes) -> httpx.Response:
    """Return an answer whose body has not been read yet, as it comes from a network."""
    return httpx.Response(status, stream=Stream(content))


def _play(answer: Answer, request: httpx.Request) -> httpx.Response:
    if isinstance(answer, Exception):
        raise answer
    if isinstance(answer, httpx.Response):
        # An answer may be played more than once; a response object is used up when it was read.
        if isinstance(answer.stream, Stream):
            return httpx.Response(answer.status_code, headers=answer.headers, stream=answer.stream)
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)
    return answer(request)
