"""Junk to every route that the OpenAPI document names: answered with a reason, and nothing breaks."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.support.gateway import as_user, run_stand

WORDS = (
    *("", "0", "-1", "1e400", "NaN", "null", "true", "[]", "{}", "\x00", "\n", "..", "../..", "%2e%2e", "²", "'\";--"),
    *("日本", "💣" * 30, "a" * 3000, "9" * 40, "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "*", "a=b"),
    *("job-" + "0" * 32, "workload", "bytes=-0", "bytes=0-", '"1"', "local", "="),
)
BODIES = (
    *(
        b"",
        b"null",
        b"[]",
        b"{}",
        b"1",
        b'"x"',
        b'{"a":' * 200,
        b"\xff",
        b'{"argv":["\\u0000"]}',
        b'{"argv":["\\ud800"]}',
    ),
    *(b'{"path":"a","size":1e308}', b'{"path":"a","size":NaN}', b'{"path":"..","size":1}', b'{"path":"a","expires":0}'),
    *(b'{"ticket":1}', b'{"ticket":"x","parts":[{"number":-1,"etag":"x"}]}', b'{"argv":["a"],"env":{"A":1}}'),
    *(b'{"argv":["a"],"resources":{"memory":"1e999"}}', b'{"argv":["a"],"resources":{"walltime":"P9999999999Y"}}'),
    *(b'{"argv":["a"],"retries":{"backoff":"99999999999999999999h"}}', b'{"argv":["a"],"resources":{"cpus":1e400}}'),
    b'{"argv":[' + b"9" * 5000 + b"]}",
)
HANGS = frozenset({"follow", "wait", "Accept"})
"""Parameters that may keep an answer open."""


def _request(chance: random.Random, path: str, method: str, operation: dict[str, Any]) -> dict[str, Any]:
    query: list[tuple[str, str]] = []
    headers: dict[str, Any] = {**as_user("ada"), "Content-Type": "application/json"}
    for parameter in operation.get("parameters", []):
        name, word = parameter["name"], chance.choice(WORDS)
        if parameter["in"] == "path":
            path = path.replace(f"{{{name}}}", quote(word, safe=chance.choice(["", "/"])))
        elif name not in HANGS and chance.random() < 0.4:
            if parameter["in"] == "query":
                query.append((name, word))
            elif word.isprintable():
                headers[name] = word.encode("latin-1", "replace")
    body = chance.choice(BODIES) if method in {"post", "put"} else None
    return {"method": method.upper(), "url": path, "params": query, "headers": headers, "content": body}


@pytest.mark.parametrize("seed", range(4))
async def test_junk_is_refused_with_a_reason(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    async with run_stand(tmp_path) as stand:
        document = (await stand.client.get("/openapi.json")).json()
        operations = [(path, *item) for path, items in document["paths"].items() for item in items.items()]
        for path, method, operation in operations * 12:
            request = _request(chance, path, method, operation)
            try:
                answer = await stand.client.request(**request)
            except (httpx.InvalidURL, httpx.LocalProtocolError):
                continue  # the client itself will not send such a thing
            assert answer.status_code < 500, request
            if answer.status_code >= 400 and method != "head":
                assert answer.headers["content-type"] == "application/problem+json", request
