"""What holds for every request: who may come in, how errors look, what is refused before it costs anything."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from services.chassis.settings import NatsSettings
from tests.support.gateway import Site, as_user, run_gateway, run_site

pytestmark = pytest.mark.asyncio(loop_scope="module")

ADA = as_user("ada")


@pytest.fixture(scope="module")
def special() -> dict[str, Any]:
    return {"max_body": 1000}


async def test_nobody_comes_in_without_a_token_where_local_mode_is_off(client: httpx.AsyncClient) -> None:
    for method, path in (("GET", "/v1/jobs"), ("GET", "/v1/whoami"), ("PUT", "/v1/files/a"), ("GET", "/v1/events")):
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic YTpi"}):
            answer = await client.request(method, path, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
            assert answer.headers["www-authenticate"].startswith("Bearer")
    for path in ("/healthz", "/metrics", "/docs", "/openapi.json"):
        assert (await client.get(path)).status_code == 200


async def test_a_token_says_who_asks(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/whoami", headers=ADA)).json() == {
        "subject": "ada",
        "issuer": "static",
        "token": None,
        "projects": {"vision": "member"},
        "roles": [],
        "email": None,
    }


async def test_local_mode_lets_this_machine_in_and_nobody_else(nats: NatsSettings) -> None:
    async with run_gateway(nats, local=True) as (client, _):
        me = (await client.get("/v1/whoami")).json()
        assert (me["subject"], me["roles"]) == ("local", ["admin"])
        assert (await client.get("/v1/whoami", headers=ADA)).json()["subject"] == "ada"
        assert (await client.get("/v1/whoami", headers={"Authorization": "Bearer wrong"})).status_code == 401
        for headers in (
            {"X-Forwarded-For": "192.0.2.7"},
            {"Host": "rebound.example"},
            {"Origin": "https://page.example"},
        ):
            answer = await client.get("/v1/whoami", headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
        assert (await client.get("/v1/whoami", headers={"Origin": "http://localhost:3000"})).status_code == 200


async def test_every_error_is_a_problem_document(site: Site, client: httpx.AsyncClient) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    cases = (
        ("GET", "/nowhere", None, 404, "not_found"),
        ("GET", "/v1/jobs/", None, 404, "not_found"),
        ("PATCH", "/v1/jobs", None, 405, "invalid"),
        ("POST", "/v1/jobs", b"{not json", 400, "invalid"),
        ("POST", "/v1/jobs", b"[" * 900, 400, "invalid"),
        ("POST", "/v1/jobs", b'{"argv": ["true"], "more": 1}', 422, "invalid"),
        ("POST", "/v1/jobs", b'{"argv": ["\\ud800"]}', 422, "invalid"),
        ("POST", "/v1/jobs", b"\xff\xfe", 400, "invalid"),
        ("POST", "/v1/jobs", b"", 422, "invalid"),
        ("POST", "/v1/jobs", b'{"argv": ["' + b"x" * 1000 + b'"]}', 413, "too_large"),
        ("GET", f"/v1/jobs/job-{'0' * 32}", None, 404, "not_found"),
        ("GET", "/v1/jobs/job%00", None, 422, "invalid"),
        ("GET", "/v1/usage?group_by=nonsense", None, 422, "invalid"),
    )
    for method, path, body, status, code in cases:
        headers = {**ADA, "traceparent": trace, "Content-Type": "application/json"}
        answer = await client.request(method, path, content=body, headers=headers)
        problem = answer.json()
        assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code), (path, body)
        assert answer.headers["content-type"] == "application/problem+json"
        assert {"type", "title", "detail", "instance", "errors"} <= problem.keys()
        assert problem["instance"] == urlsplit(str(client.base_url.join(path))).path.replace("%00", "\x00")
        assert problem["trace_id"] == answer.headers["x-request-id"] == trace[3:35]
        assert answer.headers["traceparent"].split("-")[1] == trace[3:35]
        assert answer.headers["traceparent"] != trace
    assert not site.workloads


async def test_the_body_is_limited_before_it_is_read(site: Site, client: httpx.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b'"' * 500

    with_length = await _raw(client, "POST /v1/jobs HTTP/1.1\r\nContent-Length: 99999999999\r\n")
    assert " 413 " in with_length
    file_with_length = await _raw(client, "PUT /v1/files/a HTTP/1.1\r\nContent-Length: 99999999999999\r\n")
    assert " 413 " in file_with_length
    headers = {**ADA, "Content-Type": "application/json"}
    try:
        answer = await client.post("/v1/jobs", content=endless(), headers=headers)
    except httpx.TransportError:
        return  # the answer came while the body was still being sent, and the connection was closed
    assert answer.status_code == 413


async def test_odd_input_is_refused_and_breaks_nothing(site: Site, client: httpx.AsyncClient) -> None:
    odd = ("%00", "%0d%0aX:%20y", "%ff%fe", "9" * 500, "-1", "NaN", "inf", "1e400", "null", "''", "%F0%9F%92%A3" * 50)
    for name in ("limit", "cursor", "state", "owner", "label", "created_after", "created_before", "name"):
        for value in (*odd, "0001-01-01T00:00:00%2B14:00", "9999-12-31T23:59:59-14:00"):
            answer = await client.get(f"/v1/jobs?{name}={value}", headers=ADA)
            assert answer.status_code < 500, (name, value)
    url = f"/v1/jobs/job-{'0' * 32}"
    for value in odd:
        for path in (f"{url}?wait={value}", f"{url}/logs?attempt={value}", f"/v1/events?since_sequence={value}"):
            assert (await client.get(path, headers=ADA)).status_code < 500, path
        for header in ("Range", "If-None-Match", "Prefer", "traceparent", "Accept", "Authorization"):
            if "%" not in value:
                answer = await client.get("/v1/events", headers={**ADA, header: value})
                assert answer.status_code < 500, (header, value)


async def test_readiness_asks_every_service(nats: NatsSettings) -> None:
    async with run_site(nats, scheduler=False) as site, run_gateway(nats) as (client, _):
        away = await client.get("/readyz")
        assert (away.status_code, away.json()["ready"]) == (503, False)
        assert away.json()["checks"]["nats"] == "ok"
        assert "does not answer" in away.json()["checks"]["scheduler"]
        await site.start_scheduler()
        ready = await client.get("/readyz")
        assert ready.status_code == 200
        assert [item["service"] for item in ready.json()["services"]] == ["scheduler", "storage", "accounting"]


async def test_figures_are_kept_by_route_and_not_by_path(site: Site, client: httpx.AsyncClient) -> None:
    for number in range(3):
        await client.get(f"/v1/jobs/job-{number:032x}", headers=ADA)
        await client.get(f"/nowhere/{number}", headers=ADA)
    text = (await client.get("/metrics")).text
    assert 'shunter_http_requests_total{method="GET",route="/v1/jobs/{job_id}",status="404"}' in text
    assert "/nowhere" not in text
    assert not re.search(r"job-0+", text)


async def test_usage_backends_and_replay_are_asked_of_their_owners(site: Site, client: httpx.AsyncClient) -> None:
    usage = await client.get("/v1/usage?group_by=owner,day&group_by=backend&since=2026-01-01T00:00:00Z", headers=ADA)
    assert usage.json()["rows"][0]["owner"] == "ada"
    assert [str(word) for word in site.asked[-1].group_by] == ["owner", "day", "backend"]  # type: ignore[attr-defined]
    assert (await client.post("/v1/audit/replay", headers=ADA)).json()["equal"] is True
    assert (await client.get("/v1/backends", headers=ADA)).json()["items"][0]["backend"] == "local"
    offered = (await client.get("/v1/applications", headers=ADA)).json()["applications"]
    assert offered["decode"]["v1"]["train"]["app"] == {"cmd": ["true"], "env": ["SEED"]}


async def test_every_answer_carries_the_security_headers(client: httpx.AsyncClient) -> None:
    for path in ("/healthz", "/v1/jobs", "/nowhere", "/docs"):
        headers = (await client.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "server" not in headers


async def _raw(client: httpx.AsyncClient, head: str) -> str:
    """Send the head of a request and no body; return the first line of the answer."""
    reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
    authorization = ADA["Authorization"]
    writer.write(f"{head}Host: x\r\nAuthorization: {authorization}\r\nContent-Type: application/json\r\n\r\n".encode())
    async with asyncio.timeout(5):
        line = await reader.readline()
    writer.close()
    return line.decode()
