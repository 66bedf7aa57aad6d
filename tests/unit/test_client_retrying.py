"""What is sent again, when, and for how long."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from contracts.errors import ConflictError, OverQuotaError, UnavailableError
from contracts.spec import JobSpec
from shunter.models import Submission
from tests.support.rest import JOB_ID, FakeServer, job, problem

REFUSED = httpx.ConnectError("connection refused")
BROKEN = httpx.ReadError("connection reset")
AWAY = problem(503, "unavailable", headers={"retry-after": "3"})


def test_a_submit_that_got_no_answer_is_sent_again_with_the_same_key(tmp_path: Path) -> None:
    server = FakeServer().on("POST", "/v1/jobs", BROKEN, AWAY, job("queued"))
    with server.client(tmp_path) as client:
        client.submit(JobSpec(argv=["true"]))
    assert len({request.headers["idempotency-key"] for request in server.requests}) == 1
    assert len(server.requests) == 3


def test_the_server_says_when_to_come_again(tmp_path: Path) -> None:
    server = FakeServer().on("GET", "/v1/whoami", AWAY, AWAY, {"subject": "ada"})
    with server.client(tmp_path) as client:
        client.who_am_i()
    assert server.slept == [3.0, 3.0]


def test_too_many_requests_are_repeated_when_the_server_says_when(tmp_path: Path) -> None:
    again = problem(429, "over_quota", headers={"retry-after": "1"})
    server = FakeServer().on("GET", "/v1/whoami", again, {"subject": "ada"})
    with server.client(tmp_path) as client:
        client.who_am_i()
    assert server.slept == [1.0]


def test_a_quota_that_is_used_up_is_not_asked_for_again(tmp_path: Path) -> None:
    server = FakeServer().on("POST", "/v1/jobs", problem(403, "over_quota"))
    with server.client(tmp_path) as client, pytest.raises(OverQuotaError):
        client.submit(JobSpec(argv=["true"]))
    assert server.slept == []


@pytest.mark.parametrize(("trouble", "tries"), [(REFUSED, 2), (BROKEN, 1)], ids=["never arrived", "may have arrived"])
def test_a_start_is_sent_again_only_if_it_never_arrived(tmp_path: Path, trouble: Exception, tries: int) -> None:
    path = f"/v1/jobs/{JOB_ID}/start"
    server = FakeServer().on("POST", path, trouble, job("queued"))
    with server.client(tmp_path) as client:
        if tries == 1:
            with pytest.raises(UnavailableError):
                client.start(JOB_ID)
        else:
            client.start(JOB_ID)
    assert len(server.requests) == tries


def test_patience_comes_to_an_end(tmp_path: Path) -> None:
    server = FakeServer().on("GET", "/v1/whoami", REFUSED)
    with server.client(tmp_path, patience=10.0) as client, pytest.raises(UnavailableError, match="nothing answers at"):
        client.who_am_i()
    assert 5 < sum(server.slept) <= 10
    assert max(server.slept) <= 5.2


def test_what_is_refused_is_not_sent_again(tmp_path: Path) -> None:
    server = FakeServer().on("POST", f"/v1/jobs/{JOB_ID}/retry", problem(409, "conflict", "it runs"))
    with server.client(tmp_path) as client, pytest.raises(ConflictError, match="it runs"):
        client.retry(JOB_ID)
    assert len(server.requests) == 1


def test_waiting_outlives_a_restart_of_the_server(tmp_path: Path) -> None:
    path = f"/v1/jobs/{JOB_ID}"
    server = FakeServer().on("GET", path, job("running"), BROKEN, REFUSED, AWAY, job("running"), job("failed"))
    with server.client(tmp_path, patience=0.1) as client:
        assert client.wait(JOB_ID).state == "failed"
    assert dict(server.requests[0].url.params) == {"wait": "30", "until": "terminal"}


def test_waiting_for_a_job_that_is_not_known_yet(tmp_path: Path) -> None:
    path = f"/v1/jobs/{JOB_ID}"
    server = FakeServer().on("GET", path, problem(404, "not_found"), problem(404, "not_found"), job())
    with server.client(tmp_path) as client:
        assert client.wait(Submission(id=JOB_ID)).state == "succeeded"


def test_waiting_ends_when_its_time_is_over(tmp_path: Path) -> None:
    server = FakeServer().on("GET", f"/v1/jobs/{JOB_ID}", job("running"))
    with server.client(tmp_path) as client, pytest.raises(TimeoutError, match="has not ended within 0 s"):
        client.wait(JOB_ID, timeout=0)
