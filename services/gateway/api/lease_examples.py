"""Examples of what outside workers are answered; a test holds each against its model."""

from __future__ import annotations

from typing import Any

from . import examples

__all__ = ["FILE", "LEASES", "PLAN", "STANDING", "URLS", "VIEW"]

_JOB: dict[str, Any] = {
    **examples.JOB,
    "state": "starting",
    "phase": "pulled",
    "backend": "pull",
    "exit_code": None,
    "finished_at": None,
}

_TASK: dict[str, Any] = {
    "workload_id": _JOB["id"],
    "attempt": 1,
    "owner": "ada",
    "argv": ["python", "train.py"],
    "walltime": 600.0,
    "ticket": "",
}

LEASES: dict[str, Any] = {
    "items": [{"number": 7, "token": "k3v9…", "keep_within": 60.0, "task": _TASK, "job": _JOB}],
}

STANDING: dict[str, Any] = {"number": 7, "gone": False, "ending": None}

VIEW: dict[str, Any] = {"number": 7, "job": _JOB, "is_current": True}

URLS: dict[str, Any] = {"urls": {"digits.csv": "http://s3.example/shunter/ada/…?X-Amz-Signature=…"}}

PLAN = examples.PLAN

FILE: dict[str, Any] = {**examples.FILE, "path": f"jobs/{_JOB['id']}/outputs/model.pt"}
