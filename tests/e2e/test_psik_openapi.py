"""psik's OpenAPI documents: whatever fits them is answered as they say; and they have every route of the originals."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import status_code_conformance

from tests.support.stack import Stack

_EXAMPLES = 15
_HELD = {"script": "true"}

_ORIGINAL = {
    1: {
        *("GET /backends/", "GET /backends", "GET /backends/{name}", "GET /jobs/", "POST /jobs/", "GET /jobs"),
        *("POST /jobs", "POST /jobs/{jobid}/start", "GET /jobs/{jobid}", "DELETE /jobs/{jobid}"),
        *("POST /jobs/callback", "GET /jobs/{jobid}/state", "GET /jobs/{jobid}/logs/", "GET /jobs/{jobid}/logs"),
        *("GET /jobs/{jobid}/scripts/", "GET /jobs/{jobid}/scripts", "GET /jobs/{jobid}/files/"),
        *("POST /jobs/{jobid}/files/", "GET /jobs/{jobid}/files", "POST /jobs/{jobid}/files"),
        *("GET /jobs/{jobid}/files/{fname}", "POST /jobs/new", "GET /token", "POST /token"),
    },
    2: {
        *("GET /backends", "GET /backends/{name}", "GET /jobs", "POST /jobs", "POST /jobs/{jobid}/start"),
        *("GET /jobs/{jobid}", "DELETE /jobs/{jobid}", "POST /jobs/callback", "GET /jobs/{jobid}/state"),
        *("GET /jobs/{jobid}/logs", "GET /jobs/{jobid}/scripts", "GET /jobs/{jobid}/files"),
        *("POST /jobs/{jobid}/files", "GET /jobs/{jobid}/files/{fname}", "POST /jobs/new"),
        *("GET /token", "POST /token"),
    },
}
"""The routes of psik_api 1.0.0 and 2.0.1."""


def _document(stack: Stack, version: int) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{stack.url}/psik/v{version}/openapi.json", trust_env=False).json()
    return found


@pytest.mark.parametrize("version", [1, 2])
def test_every_route_of_the_original_is_there(stack: Stack, version: int) -> None:
    document = _document(stack, version)
    ours = {f"{method.upper()} {path}" for path, item in document["paths"].items() for method in item}
    assert ours >= _ORIGINAL[version]
    assert document["servers"] == [{"url": f"/psik/v{version}"}]
    for item in document["paths"].values():
        for operation in item.values():
            assert operation["summary"]
            assert operation["tags"]


@pytest.mark.parametrize("version", [1, 2])
def test_whatever_fits_the_document_is_answered_as_it_says(stack: Stack, version: int) -> None:
    headers = {"Authorization": f"Bearer {stack.tokens['ci']}"}
    base = f"{stack.url}/psik/v{version}"
    jobid = httpx.post(f"{base}/jobs/new", json=_HELD, headers=headers, trust_env=False).json()
    schema = schemathesis.openapi.from_dict(_document(stack, version))
    seen: set[int] = set()
    for result in schema.get_all_operations():
        assert isinstance(result, Ok)
        operation = result.ok()

        @settings(
            max_examples=_EXAMPLES,
            derandomize=True,
            deadline=None,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(), real=st.booleans())
        def check(case: schemathesis.Case[Any], real: bool) -> None:
            if real and "jobid" in case.path_parameters:
                case.path_parameters["jobid"] = jobid
            answer = case.call(base_url=base, headers=headers)
            seen.add(answer.status_code)
            case.validate_response(answer, checks=[not_a_server_error, status_code_conformance])

        check()
    assert seen >= {200, 400, 404, 422}
