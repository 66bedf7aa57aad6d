"""Following goes on after a break, without loss and without repetition."""

from __future__ import annotations

import base64
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import pytest

from contracts.errors import NotFoundError, UnavailableError
from shunter.calls.records import EventFilter
from shunter.models import LogChunk
from tests.support.rest import JOB_ID, FakeServer, Stream, problem, sse

LOGS = f"/v1/jobs/{JOB_ID}/logs"
RESET = httpx.ReadError("connection reset")
END = sse("end", {"state": "succeeded", "exit_code": 0}, "9")


def log(offset: int, text: str, event_id: str, *, stream: str = "stdout", attempt: int = 1) -> bytes:
    return sse("log", {"attempt": attempt, "stream": stream, "offset": offset, "text": text}, event_id)


def feed(*pieces: bytes | Exception) -> httpx.Response:
    return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Stream(*pieces))


def event(sequence: int) -> bytes:
    return sse("org.shunter.workload.moved.v1", envelope(sequence), str(sequence))


def envelope(number: int) -> dict[str, Any]:
    return {
        "id": f"event-{number}",
        "source": "/services/scheduler",
        "type": "org.shunter.workload.moved.v1",
        "subject": JOB_ID,
        "time": "2026-11-20T10:00:00Z",
        "actor": "user:ada",
        "correlationid": "c",
        "traceparent": "t",
        "data": {"new": "running"},
    }


def follow(server: FakeServer, cache: Path) -> list[LogChunk]:
    with server.client(cache, patience=1.0) as client:
        return list(client.follow_log(JOB_ID))


def joined(chunks: list[LogChunk], stream: str = "stdout") -> bytes:
    return b"".join(chunk.data for chunk in chunks if chunk.stream == stream)


def test_a_log_is_followed_to_its_end(tmp_path: Path) -> None:
    binary = {"attempt": 1, "stream": "stderr", "offset": 0, "base64": base64.b64encode(b"\xff\x00").decode()}
    server = FakeServer().on("GET", LOGS, feed(log(0, "a\n", "1"), b": ping\n\n", sse("log", binary, "2"), END))
    chunks = follow(server, tmp_path)
    assert joined(chunks) == b"a\n"
    assert joined(chunks, "stderr") == b"\xff\x00"
    assert server.requests[0].url.params["follow"] == "true"
    assert server.requests[0].headers["accept"] == "text/event-stream"
    assert "last-event-id" not in server.requests[0].headers


@pytest.mark.parametrize(
    "trouble", [[RESET], [], [b"id: 3\nevent: log\nda"]], ids=["reset", "ended", "in the middle of an event"]
)
def test_a_break_loses_nothing(tmp_path: Path, trouble: list[bytes | Exception]) -> None:
    first = feed(log(0, "one\n", "1"), log(4, "two\n", "2"), *trouble)
    away = problem(503, "unavailable", headers={"retry-after": "2"})
    server = FakeServer().on("GET", LOGS, first, httpx.ConnectError("refused"), away, feed(log(8, "three\n", "3"), END))
    assert joined(follow(server, tmp_path)) == b"one\ntwo\nthree\n"
    assert [request.headers.get("last-event-id") for request in server.requests] == [None, "2", "2", "2"]
    assert 2.0 in server.slept


def test_what_comes_twice_is_given_once(tmp_path: Path) -> None:
    again = feed(log(0, "one\ntwo\n", "1"), log(8, "three\n", "2"), log(0, "new", "3", attempt=2), END)
    server = FakeServer().on("GET", LOGS, feed(log(0, "one\ntw", "1"), RESET), again)
    chunks = follow(server, tmp_path)
    assert [(chunk.attempt, chunk.offset, chunk.data) for chunk in chunks] == [
        (1, 0, b"one\ntw"),
        (1, 6, b"o\n"),
        (1, 8, b"three\n"),
        (2, 0, b"new"),
    ]


def test_a_log_that_cannot_be_read_for_long_is_given_up(tmp_path: Path) -> None:
    server = FakeServer().on("GET", LOGS, feed())
    with pytest.raises(UnavailableError):
        follow(server, tmp_path)
    assert 100 < sum(server.slept) < 200


def test_a_job_that_does_not_exist_has_no_log(tmp_path: Path) -> None:
    server = FakeServer().on("GET", LOGS, problem(404, "not_found"))
    with pytest.raises(NotFoundError):
        follow(server, tmp_path)


def test_events_go_on_behind_the_last_one(tmp_path: Path) -> None:
    server = FakeServer().on("GET", "/v1/events", feed(event(4), event(5), RESET), feed(event(5), event(7)))
    with server.client(tmp_path) as client:
        found = list(islice(client.follow_events(EventFilter(type="workload.moved"), since_sequence=4), 3))
    assert [item.sequence for item in found] == [4, 5, 7]
    assert dict(server.requests[0].url.params) == {"type": "workload.moved", "since_sequence": "4", "follow": "true"}
    assert server.requests[1].headers["last-event-id"] == "5"


def test_pages_of_events_are_joined_each_event_once(tmp_path: Path) -> None:
    def page(*numbers: int, following: int) -> dict[str, Any]:
        items = [{"sequence": number, "event": envelope(number)} for number in numbers]
        return {"items": items, "next_sequence": following}

    pages = page(3, 4, following=5), page(5, following=6), page(following=9), page(following=9)
    server = FakeServer().on("GET", "/v1/events", *pages)
    with server.client(tmp_path) as client:
        found = [item.sequence for item in client.iter_events(after=3)]
    assert found == [4, 5]
    assert [request.url.params.get("since_sequence") for request in server.requests] == ["3", "5", "6", "9"]
