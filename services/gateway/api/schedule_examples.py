"""Examples of schedules that OpenAPI shows; a test holds each against its model."""

from __future__ import annotations

from typing import Any

from fastapi.openapi.models import Example

__all__ = ["RUN", "SCHEDULE", "SCHEDULES"]

_ID = "sch-0193e7a4c2d87b1e9f5a3c6d8e0f1a2b"
_MADE, _DUE = "2026-01-31T12:00:00.000000Z", "2026-02-01T01:30:00.000000Z"

_SPEC = {
    "name": "nightly-report",
    "cron": "30 2 * * MON-FRI",
    "time_zone": "Europe/Berlin",
    "job": {"argv": ["python", "report.py"], "inputs": [{"source": "reports/report.py"}]},
}

SCHEDULES: dict[str, Example] = {
    "nightly": Example(summary="On weekdays at half past two", value=_SPEC),
    "interval": Example(
        summary="Every ten minutes for a day, one at a time",
        value={
            "name": "probe",
            "every": "10m",
            "overlap": "buffer_one",
            "max_runs": 144,
            "job": {"script": "curl -sf https://instrument.example/status\n"},
        },
    ),
}

RUN: dict[str, Any] = {
    "scheduled_for": _DUE,
    "job_id": "job-0193e7a4c2d87b1e9f5a3c6d8e0f1a2b",
    "outcome": "submitted",
    "message": "",
    "by_hand": False,
    "at": _DUE,
}

SCHEDULE: dict[str, Any] = {
    "id": _ID,
    "owner": "ada",
    "project": "vision",
    "spec": _SPEC,
    "state": "active",
    "revision": 1,
    "runs": 1,
    "next_runs": [_DUE],
    "recent_runs": [RUN],
    "last_error": "",
    "created_at": _MADE,
    "updated_at": _MADE,
}
