"""Our own OpenAPI document on the real stack: whatever fits it, and much that does not, is answered as it says."""

from __future__ import annotations

from typing import Any

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import status_code_conformance

from tests.support.stack import Stack

_EXAMPLES = 12
_KEEPS_OPEN = frozenset({"follow", "wait"})
"""Parameters for which an answer stays open."""


def test_whatever_fits_the_document_is_answered_as_it_says(stack: Stack) -> None:
    client = stack.client("ci")
    job = client.post("/v1/jobs", json={"argv": ["true"], "hold": True}).raise_for_status().json()["id"]
    document: dict[str, Any] = httpx.get(f"{stack.url}/openapi.json", trust_env=False).json()
    headers = {"Authorization": f"Bearer {stack.tokens['ci']}"}
    seen: set[int] = set()
    for result in schemathesis.openapi.from_dict(document).get_all_operations():
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
            # What is removed is there for none of the other routes.
            if real and "job_id" in case.path_parameters and case.method != "DELETE":
                case.path_parameters["job_id"] = job
            for name in _KEEPS_OPEN & set(case.query):
                del case.query[name]
            answer = case.call(base_url=stack.url, headers=headers)
            seen.add(answer.status_code)
            case.validate_response(answer, checks=[not_a_server_error, status_code_conformance])

        check()
    assert seen >= {200, 201, 204, 400, 403, 404, 409, 422}
