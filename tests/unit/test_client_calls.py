"""What is sent, and how answers are read."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from contracts.errors import (
    ConflictError,
    ForbiddenError,
    InternalError,
    InvalidError,
    NotFoundError,
    OverQuotaError,
    ShunterError,
    UnauthenticatedError,
    UnavailableError,
)
from contracts.spec import JobSpec
from contracts.states import WorkloadState
from contracts.usage import GroupBy
from shunter.calls.jobs import JobFilter
from shunter.connection import Connection
from shunter.problems import error_from
from tests.support.rest import JOB_ID, URL, FakeServer, job, problem


def test_a_submit_carries_the_spec_as_it_was_given_and_a_key_of_its_own(tmp_path: Path) -> None:
    server = FakeServer().on("POST", "/v1/jobs", httpx.Response(201, json=job("queued")))
    with server.client(tmp_path) as client:
        first = client.submit(JobSpec(argv=["true"]))
        client.submit(JobSpec(argv=["true"]))
    sent = server.requests[0]
    assert json.loads(sent.content) == {"argv": ["true"]}
    assert sent.headers["content-type"] == "application/json"
    assert sent.headers["idempotency-key"] != server.requests[1].headers["idempotency-key"]
    assert "prefer" not in sent.headers
    assert first.job is not None
    assert (first.id, first.job.state, first.repeated) == (JOB_ID, "queued", False)


def test_a_key_and_a_wait_of_the_callers_are_sent(tmp_path: Path) -> None:
    server = FakeServer().on("POST", "/v1/jobs", job())
    with server.client(tmp_path) as client:
        found = client.submit(JobSpec(argv=["true"]), key="run-42", wait=1.5)
    assert server.requests[0].headers["idempotency-key"] == "run-42"
    assert server.requests[0].headers["prefer"] == "wait=2"
    assert found.repeated


def test_a_submit_that_is_only_kept_is_pending(tmp_path: Path) -> None:
    pending = httpx.Response(202, json={"id": JOB_ID, "status": "pending", "links": {}})
    server = FakeServer().on("POST", "/v1/jobs", pending).on("POST", f"/v1/jobs/{JOB_ID}/cancel", pending)
    with server.client(tmp_path) as client:
        found = client.submit(JobSpec(argv=["true"]))
        assert client.cancel(JOB_ID) is None
    assert found.is_pending
    assert found.id == JOB_ID


def test_filters_become_query_parameters(tmp_path: Path) -> None:
    server = FakeServer().on("GET", "/v1/jobs", {"items": [job()], "next_cursor": None})
    wanted = JobFilter(
        states=(WorkloadState.FAILED, WorkloadState.LOST),
        labels={"sweep": "3"},
        created_after=datetime(2026, 11, 20, tzinfo=UTC),
    )
    with server.client(tmp_path) as client:
        client.list_jobs(wanted, limit=7)
    assert server.requests[0].url.params.multi_items() == [
        ("state", "failed"),
        ("state", "lost"),
        ("label", "sweep=3"),
        ("created_after", "2026-11-20T00:00:00+00:00"),
        ("limit", "7"),
    ]


def test_pages_are_joined(tmp_path: Path) -> None:
    pages = {"items": [job()], "next_cursor": "more"}, {"items": [job(name="second")], "next_cursor": None}
    server = FakeServer().on("GET", "/v1/jobs", *pages)
    with server.client(tmp_path) as client:
        assert [found.name for found in client.iter_jobs()] == ["train", "second"]
    assert server.requests[1].url.params["cursor"] == "more"


def test_odd_names_are_quoted(tmp_path: Path) -> None:
    server = FakeServer().on("DELETE", "/v1/files/a b/ü?#%.txt", httpx.Response(204))
    with server.client(tmp_path) as client:
        assert client.delete_file("a b/ü?#%.txt")
    assert server.requests[0].url.raw_path == b"/v1/files/a%20b/%C3%BC%3F%23%25.txt?recursive=false"


def test_usage_is_asked_for_by_groups(tmp_path: Path) -> None:
    server = FakeServer().on("GET", "/v1/usage", {"rows": [], "total": {}})
    with server.client(tmp_path) as client:
        client.sum_usage([GroupBy.OWNER, GroupBy.DAY])
    assert server.requests[0].url.params.get_list("group_by") == ["owner", "day"]


def test_the_token_goes_along(tmp_path: Path) -> None:
    server = FakeServer().on("GET", "/v1/whoami", {"subject": "ada"})
    with server.client(tmp_path, connection=Connection(URL, SecretStr("s3cret"))) as client:
        assert client.who_am_i().subject == "ada"
    assert server.requests[0].headers["authorization"] == "Bearer s3cret"
    assert "s3cret" not in repr(client.connection)


def test_a_server_that_is_not_ready_is_an_answer(tmp_path: Path) -> None:
    body = {"ready": False, "checks": {"nats": "away"}}
    server = FakeServer().on("GET", "/readyz", httpx.Response(503, json=body))
    with server.client(tmp_path) as client:
        assert client.get_readiness()["checks"] == {"nats": "away"}


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (422, "invalid", InvalidError),
        (401, "unauthenticated", UnauthenticatedError),
        (403, "forbidden", ForbiddenError),
        (403, "over_quota", OverQuotaError),
        (404, "not_found", NotFoundError),
        (409, "conflict", ConflictError),
        (500, "internal", InternalError),
        (404, "a_code_of_tomorrow", NotFoundError),
        (418, "a_code_of_tomorrow", InvalidError),
    ],
)
def test_problems_become_errors_of_the_contracts(status: int, code: str, kind: type[ShunterError]) -> None:
    answer = problem(status, code, "so it is", errors=[{"field": "resources.cpus", "message": "too many", "x": 1}])
    error = error_from(answer.status_code, answer.headers, answer.content)
    assert type(error) is kind
    assert error.detail == "so it is"
    assert [(item.field, item.message) for item in error.errors] == [("resources.cpus", "too many")]


def test_an_answer_that_is_no_problem_document_is_still_an_error() -> None:
    error = error_from(502, httpx.Headers({"retry-after": "7"}), b"<html>bad gateway</html>")
    assert isinstance(error, UnavailableError)
    assert error.retry_after == 7.0


def test_our_own_errors_name_their_trace() -> None:
    answer = problem(500, "internal", "something went wrong", trace_id="abc")
    assert "abc" in error_from(500, answer.headers, answer.content).detail


@pytest.mark.parametrize("body", [b"<html>", b"{}", b"[]", b""])
def test_an_answer_without_sense_is_said_to_be_one(tmp_path: Path, body: bytes) -> None:
    server = FakeServer().on("GET", "/v1/whoami", httpx.Response(200, content=body))
    with server.client(tmp_path) as client, pytest.raises(InternalError, match="makes no sense"):
        client.who_am_i()
