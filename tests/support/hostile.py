"""A stack under bad input: its routes as it tells of them, and what must hold of every answer."""

from __future__ import annotations

import copy
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from tests.support.jobs import submit, until_ended
from tests.support.stack import Stack

__all__ = ["LIMIT", "Operation", "Target", "problem_of"]

LIMIT = 30.0
"""Seconds within which everything is answered, on whatever machine this runs."""

_LEAKS = re.compile(
    r"Traceback|site-packages|sqlalchemy|sqlite|asyncpg|nats\.|temporalio|\.py\b|0x[0-9a-f]{8,}|/tmp/|/home/",
    re.IGNORECASE,
)
_IDS = {"job_id": "job-" + "0" * 31 + "1"}
_ERRORS_NAMED = frozenset({400, 414, 415, 422, 431})


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one route."""

    method: str
    path: str
    words: tuple[tuple[str, str], ...]
    """Where a word goes: `path`, `query` or `header`, and under which name."""
    fields: tuple[str, ...]
    """The fields of its JSON body; none if it takes no JSON."""
    takes_bytes: bool

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def url(self) -> str:
        """Return its path with identifiers of things that are not there."""
        return re.sub(r"{(\w+)}", lambda found: _IDS.get(found[1], "nothing"), self.path)


class Target:
    """What is attacked."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.client = stack.client("owner")
        self.admin = stack.client("admin")
        self.other = httpx.Client(base_url=stack.url, timeout=LIMIT, trust_env=False)
        document = self.client.get("/openapi.json").json()
        self.operations = list(_operations(document))
        self.pids = stack.pids
        self.said = 0
        """Bad messages that were said on all subjects when the stack came up."""
        # The log of a job that has ended is there to be read with bad parameters.
        self.job = submit(self.client, "echo", "hello")
        until_ended(self.client, self.job)

    def close(self) -> None:
        """Hang up."""
        self.other.close()

    def ask(self, method: str, url: str, **more: Any) -> httpx.Response:
        """Ask as an ordinary user. On a machine that is too busy a part may be late: then once more, as clients do."""
        ends = time.monotonic() + LIMIT
        while (answer := self.client.request(method, url, **more)).status_code == 503 and time.monotonic() < ends:
            assert "Retry-After" in answer.headers
            time.sleep(0.5)
        return answer

    def standing(self) -> tuple[int, int]:
        """Return how many jobs there are, and how many were ever let in."""
        jobs = cursor = None
        seen = 0
        while jobs is None or cursor:
            params = {"limit": "1000", **({"cursor": cursor} if cursor else {})}
            jobs = self.admin.get("/v1/jobs", params=params).raise_for_status().json()
            seen, cursor = seen + len(jobs["items"]), jobs["next_cursor"]
        events = self.admin.get("/v1/events", params={"type": "workload.accepted", "limit": "1000"}).raise_for_status()
        return seen, len(events.json()["items"])

    def check_alive(self) -> None:
        """Check that no part of the stack has died, and that every one is ready again."""
        assert self.stack.pids == self.pids, "a part of the stack died"
        ends = time.monotonic() + LIMIT
        while (ready := self.admin.get("/readyz")).status_code != 200:
            assert time.monotonic() < ends, ready.text
            time.sleep(0.1)

    def check(self, answer: httpx.Response, what: str) -> None:
        """Check what must hold of every answer, whatever was asked."""
        status = answer.status_code
        assert status < 500 or status == 503, f"{what}: {status} {answer.text[:500]}"
        assert status != 503, f"{what}: nothing is away here, but {answer.text[:500]}"
        if status >= 400 and answer.request.method != "HEAD":
            problem_of(answer, what)
        assert str(self.stack.data) not in answer.text, f"{what}: tells where its data lie"
        assert "x-injected" not in answer.headers, what


def problem_of(answer: httpx.Response, what: str) -> dict[str, Any]:
    """Return the problem document of a refusal; what must stand in it stands in it."""
    assert answer.headers["content-type"] == "application/problem+json", f"{what}: {answer.text[:300]}"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == answer.status_code, what
    assert problem["detail"], what
    assert len(answer.content) < 64 * 1024, f"{what}: an answer of {len(answer.content)} bytes"
    if answer.status_code in _ERRORS_NAMED:
        assert problem["errors"], f"{what}: names no field: {problem}"
        assert all(error["message"] for error in problem["errors"]), f"{what}: names no rule: {problem}"
    told = " ".join([problem["detail"], *(error["message"] for error in problem["errors"])])
    assert not (leak := _LEAKS.search(told)), f"{what}: tells of its inside: {leak}"
    return problem


def _operations(document: dict[str, Any]) -> Iterator[Operation]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            content = operation.get("requestBody", {}).get("content", {})
            schema = content.get("application/json", {}).get("schema", {})
            yield Operation(
                method=method.upper(),
                path=path,
                words=tuple((parameter["in"], parameter["name"]) for parameter in operation.get("parameters", [])),
                fields=tuple(_resolved(document, schema).get("properties", {})),
                takes_bytes=bool(content) and "application/json" not in content,
            )


def _resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return copy.deepcopy(schema)
