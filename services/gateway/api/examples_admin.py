"""Examples of what operators are answered, for the OpenAPI document."""

from __future__ import annotations

from typing import Any

from contracts.commands import CancelWorkload
from contracts.principals import Principal
from contracts.subjects import subject_of

__all__ = ["HEALTH", "PARKED", "PARKED_CHANGE", "PARKED_PAGE"]

_ID = "job-0193e7a4c2d87b1e9f5a3c6d8e0f1a2b"

HEALTH: dict[str, Any] = {
    "status": "failing",
    "at": "2026-11-20T10:00:00.000000Z",
    "seconds": 0.21,
    "findings": [
        {
            "code": "backend-unserved",
            "severity": "critical",
            "part": "local",
            "what": "no runner of local answers: what is placed there waits",
            "evidence": ["no runner of 'local' answers"],
            "cause": "its runners are down, or cut off from NATS",
            "remedy": "shunter service runner --data <data>   (on a node of that backend)",
        }
    ],
    "probes": {"scheduler": "ok", "streams": "ok"},
}

_ITEM: dict[str, Any] = {
    "sequence": 7,
    "parked_at": "2026-11-20T10:00:00.000000Z",
    "service": "scheduler",
    "subject": subject_of(CancelWorkload(workload_id=_ID, principal=Principal(subject="ada"))),
    "message_id": "0193e7a4c2d87b1e9f5a3c6d8e0f1a2c",
    "deliveries": 5,
    "error": "ZeroDivisionError: division by zero",
    "size": 612,
}

PARKED_PAGE: dict[str, Any] = {"items": [_ITEM], "next_cursor": None}

PARKED: dict[str, Any] = {
    **_ITEM,
    "envelope": {"id": _ITEM["message_id"], "type": "org.shunter.workload.cancel.v1", "actor": "user:ada"},
    "body": {"workload_id": _ID, "message": "enough"},
}

PARKED_CHANGE: dict[str, Any] = {"sequences": [7], "more": False}
