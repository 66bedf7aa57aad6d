"""The corpus against every native route, found by the document that the gateway itself gives."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.support.hostile import Operation, Target, problem_of

from .entry import Entry, How, load

pytestmark = pytest.mark.usefixtures("untouched")

_ROUNDS = 2
"""How many words each parameter of a route gets, in words of all the words there are."""

_FORM_OR_CONTENT = frozenset({400, 422})

_STAYS_OPEN = {"follow": {"true", "1", "yes", "on", "y", "t"}}
"""Words that are good, and keep an answer open."""


def _word_requests(target: Target) -> Iterator[tuple[str, dict[str, Any]]]:
    chance = random.Random(4)
    words = list(load(How.WORD))
    for operation in target.operations:
        if not operation.words:
            continue
        for turn in range(min(_ROUNDS, len(operation.words))):
            chance.shuffle(words)
            for number, entry in enumerate(words):
                place, name = operation.words[(number + turn) % len(operation.words)]
                request = _with_word(operation, place, name, entry.value)
                if request:
                    yield f"{operation} with {name} = {entry.name}", request


def _with_word(operation: Operation, place: str, name: str, word: str) -> dict[str, Any] | None:
    request: dict[str, Any] = {"method": operation.method, "url": operation.url}
    if place == "path":
        # Dots would be taken out of the path by the client itself.
        request["url"] = operation.path.replace(f"{{{name}}}", quote(word, safe="").replace(".", "%2E"))
        request["url"] = operation.__class__("", request["url"], (), (), takes_bytes=False).url
    elif place == "query":
        if word.lower() in _STAYS_OPEN.get(name, ()):
            return None
        request["params"] = {name: word}
    elif not word.isprintable() or word != word.strip():
        return None  # no client sends such a header; `wire` does
    else:
        request["headers"] = {name: word.encode()}
    if operation.method == "PUT" and operation.takes_bytes:
        request["content"] = b"x"
    return request


@pytest.mark.timeout(300)
def test_no_word_in_any_place_breaks_any_route(target: Target) -> None:
    asked = 0
    for what, request in _word_requests(target):
        asked += 1
        target.check(target.ask(**request), what)
    assert asked > 30 * len([operation for operation in target.operations if operation.words])


def _takes(operation: Operation, entry: Entry) -> bool:
    """Say whether this route reads bodies of this type, whatever others do."""
    return operation.path == "/v1/login" and "application/x-www-form-urlencoded" in entry.headers.values()


def _alike(status: frozenset[int]) -> frozenset[int]:
    """Return what is as good: some routes find in the content what others find in the form, or in the size."""
    return status | {413} | (_FORM_OR_CONTENT if status & _FORM_OR_CONTENT else frozenset())


@pytest.mark.timeout(300)
def test_no_body_breaks_any_route(target: Target) -> None:
    for operation in target.operations:
        if operation.method in {"GET", "HEAD"} or operation.takes_bytes:
            continue
        for entry in load(How.BODY):
            # The largest ones are refused unread, by what stands before every route.
            if len(entry.value) > 10**6 and operation.path not in {"/v1/jobs", "/v1/downloads"}:
                continue
            what = f"{operation} with the body {entry.name}"
            answer = target.ask(operation.method, operation.url, content=entry.value, headers=dict(entry.headers))
            target.check(answer, what)
            if operation.fields or entry.status & {400, 413, 415}:
                assert answer.status_code >= 400, f"{what}: {answer.status_code}"
            if operation.fields:
                good = _alike(entry.status) | (_FORM_OR_CONTENT if _takes(operation, entry) else frozenset())
                assert answer.status_code in good, f"{what}: {answer.status_code} {answer.text[:300]}"


def test_every_field_of_every_body_is_checked_by_its_name(target: Target) -> None:
    for operation in target.operations:
        for field in operation.fields:
            what = f"{operation} with a wrong {field}"
            answer = target.ask(operation.method, operation.url, json={field: {"\x00": [{"\x00": 1}]}})
            target.check(answer, what)
            assert answer.status_code == 422, f"{what}: {answer.status_code} {answer.text[:300]}"
            named = [error["field"].split(".")[0] for error in problem_of(answer, what)["errors"]]
            assert field in named, f"{what}: blames {named}"


def test_heads_are_held_to_their_bounds(target: Target) -> None:
    own = [("Authorization", target.client.headers["Authorization"])]
    for entry in load(How.HEAD):
        query = {name[1:]: value for name, value in entry.value if name.startswith("?")}
        headers = own + [(name, value) for name, value in entry.value if not name.startswith("?")]
        for path in ("/v1/jobs", "/v1/files", "/v1/usage", "/v1/whoami"):
            what = f"{path} with {entry.name}"
            answer = target.other.get(path, params=query, headers=headers)
            target.check(answer, what)
            if entry.status:
                assert answer.status_code in entry.status, f"{what}: {answer.text[:300]}"
                assert entry.place in {error["field"] for error in problem_of(answer, what)["errors"]}, what


def test_pages_have_their_bounds(target: Target) -> None:
    for operation in target.operations:
        if operation.method != "GET" or ("query", "limit") not in operation.words or "{" in operation.path:
            continue
        for word in ("0", "-1", "1000000000", "1e3", "", "1.5", "true", str(2**63)):
            answer = target.client.get(operation.path, params={"limit": word})
            assert answer.status_code == 422, f"{operation} limit={word}: {answer.status_code}"
            assert problem_of(answer, str(operation))["errors"][0]["field"] == "limit"
        assert target.client.get(operation.path, params={"limit": ["1", "2"]}).status_code == 422, operation
        assert target.client.get(operation.path, params={"no_such": "1"}).status_code == 422, operation


def test_one_users_cursor_shows_nothing_to_another(target: Target) -> None:
    other = target.stack.client("other")
    for path in ("/v1/jobs", "/v1/files"):
        for cursor in ("dzk5OTk5", "YS9i", "fn5-"):
            page: httpx.Response = other.get(path, params={"cursor": cursor})
            target.check(page, f"{path} with a forged cursor")
            assert page.status_code == 400 or page.json()["items"] == [], page.text
