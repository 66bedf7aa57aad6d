"""Examples of subscriptions and deliveries that OpenAPI shows; a test holds each against its model."""

from __future__ import annotations

from typing import Any

from fastapi.openapi.models import Example

__all__ = ["DELIVERY", "PING", "SUBSCRIPTION", "SUBSCRIPTIONS"]

_ID = "sub-0193e7a4c2d87b1e9f5a3c6d8e0f1a2b"
_JOB = "job-0193e7a4c2d87b1e9f5a3c6d8e0f1a2b"
_MADE, _TRIED = "2026-01-31T12:00:00.000000Z", "2026-01-31T12:05:00.000000Z"

_URL = "https://hooks.example.org/shunter"
_SPEC = {"name": "ci-bot", "url": _URL, "types": ["workload.moved"], "states": ["succeeded", "failed", "lost"]}

SUBSCRIPTIONS: dict[str, Example] = {
    "ends": Example(summary="The ends of all my jobs", value={**_SPEC, "secret": "a long random word"}),
    "project": Example(
        summary="Whatever happens in a project that I administer",
        value={"url": _URL, "of": "visible", "project": "vision"},
    ),
    "labels": Example(
        summary="Jobs with a label",
        value={"url": _URL, "types": ["workload"], "labels": {"team": "vision"}},
    ),
}

SUBSCRIPTION: dict[str, Any] = {
    "id": _ID,
    "owner": "ada",
    "spec": _SPEC,
    "signed": True,
    "state": "active",
    "reason": "",
    "revision": 1,
    "created_at": _MADE,
    "updated_at": _MADE,
}

DELIVERY: dict[str, Any] = {
    "id": "dlv-0193e7a4c2d87b1e9f5a3c6d8e0f1a2b",
    "owner": "ada",
    "project": None,
    "subscription_id": _ID,
    "workload_id": _JOB,
    "event_id": "0193e7a4c2d87b1e9f5a3c6d8e0f1a2c",
    "event_type": "org.shunter.workload.moved.v1",
    "url": _URL,
    "state": "dead",
    "attempts": 16,
    "status": 503,
    "error": "answered 503",
    "next_at": None,
    "created_at": _MADE,
    "updated_at": _TRIED,
}

PING: dict[str, Any] = {
    **DELIVERY,
    "workload_id": None,
    "event_type": "org.shunter.ping.v1",
    "state": "waiting",
    "attempts": 0,
    "status": None,
    "error": "",
}
