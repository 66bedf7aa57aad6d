"""Examples of batches that OpenAPI shows; a test holds each against its model."""

from __future__ import annotations

from typing import Any

__all__ = ["BATCH", "BATCHES", "YAMLS"]

_SPEC = {
    "name": "sweep",
    "jobs": [
        {"key": "prepare", "argv": ["python", "prepare.py"]},
        {"key": "fit", "argv": ["python", "fit.py"], "after": [{"key": "prepare"}]},
        {"key": "tidy", "script": "rm -rf scratch\n", "after": [{"key": "fit", "on": "any", "delay": "1m"}]},
    ],
}

BATCHES: dict[str, Any] = {"chain": {"summary": "Three jobs, one after the other", "value": _SPEC}}

_TEXT = """\
name: sweep
jobs:
  - key: prepare
    argv: [python, prepare.py]
  - key: fit
    argv: [python, fit.py]
    after: [{key: prepare}]
"""

YAMLS: dict[str, Any] = {"chain": {"summary": "Two jobs, one after the other", "value": _TEXT}}

BATCH: dict[str, Any] = {
    "id": "bat-0193e7a4c2d87b1e9f5a3c6d8e0f1a2b",
    "owner": "ada",
    "project": "vision",
    "name": "sweep",
    "state": "active",
    "counts": {"running": 1, "accepted": 1},
    "jobs": [
        {"key": "prepare", "job_id": "job-0193e7a4c2d87b1e9f5a3c6d8e0f1a2b", "state": "running"},
        {
            "key": "fit",
            "job_id": "job-0193e7a4c2d87b1e9f5a3c6d8e0f1a2c",
            "after": [{"key": "prepare"}],
            "state": "accepted",
        },
    ],
    "created_at": "2026-01-31T12:00:00.000000Z",
}
