"""decode's OpenAPI documents: whatever fits them is answered as they say; they have all that the originals have."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import status_code_conformance

from tests.support.decode import sign_up
from tests.support.stack import Stack

_EXAMPLES = 12
_ORIGINAL = Path(__file__).parents[1] / "contract" / "documents" / "decode" / "routes.json"
"""The routes of the original's APIs, and what each takes."""

_CHANGING = {("/user", "POST"), ("/token", "POST"), ("/login", "POST")}
"""They hash passwords, each for a good part of a second."""


def _document(stack: Stack, mount: str) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{stack.url}/{mount}/openapi.json", trust_env=False).json()
    return found


def _routes(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield f"{method.upper()} {path}", operation


@pytest.mark.parametrize("mount", ["decode", "decode-worker"])
def test_every_route_of_the_original_is_there_with_all_that_it_takes(stack: Stack, mount: str) -> None:
    document = _document(stack, mount)
    ours = dict(_routes(document))
    for route, takes in json.loads(_ORIGINAL.read_text())[mount].items():
        assert route in ours, route
        operation = ours[route]
        assert operation["summary"]
        assert operation["tags"]
        named = {parameter["name"] for parameter in operation.get("parameters", [])}
        assert named >= set(takes["parameters"]), route
        bodies = set(operation.get("requestBody", {}).get("content", {}))
        assert bodies >= set(takes["bodies"]), route
    assert document["servers"] == [{"url": f"/{mount}"}]


def test_whatever_fits_the_document_is_answered_as_it_says(stack: Stack) -> None:
    with sign_up(stack, "fuzz") as user:
        headers = {"Authorization": user.client.headers["Authorization"]}
        base = f"{stack.url}/decode"
        user.upload("data/d1", "points.txt", b"points")
        seen: set[int] = set()
        schema = schemathesis.openapi.from_dict(_document(stack, "decode"))
        for result in schema.get_all_operations():
            assert isinstance(result, Ok)
            operation = result.ok()
            few = (operation.path, operation.method.upper()) in _CHANGING

            @settings(
                max_examples=4 if few else _EXAMPLES,
                derandomize=True,
                deadline=None,
                database=None,
                phases=[Phase.explicit, Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(), real=st.booleans())
            def check(case: schemathesis.Case[Any], real: bool) -> None:
                if real and "file_path" in case.path_parameters:
                    case.path_parameters["file_path"] = "data/d1/points.txt"
                answer = case.call(base_url=base, headers=headers)
                seen.add(answer.status_code)
                case.validate_response(answer, checks=[not_a_server_error, status_code_conformance])

            check()
        assert seen >= {200, 404, 422}
