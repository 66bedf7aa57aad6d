"""Examples of grants that OpenAPI shows; a test holds each against its model."""

from __future__ import annotations

from typing import Any

from fastapi.openapi.models import Example

__all__ = ["FOLDER_GRANT", "GRANT", "WISHES"]

_MADE = "2026-01-31T12:00:00.000000Z"

GRANT: dict[str, Any] = {
    "resource": "job:job-0193e7a4c2d87b1e9f5a3c6d8e0f1a2b",
    "owner": "ada",
    "grantee": "project:vision",
    "right": "read",
    "created_at": _MADE,
    "created_by": "ada",
    "expires_at": None,
}

FOLDER_GRANT: dict[str, Any] = {**GRANT, "resource": "folder:data/shared", "grantee": "user:bob", "right": "control"}

WISHES: dict[str, Example] = {
    "read": Example(summary="Look, for good", value={"right": "read"}),
    "control": Example(summary="Steer, until an evening", value={"right": "control", "expires_at": _MADE}),
}
