"""Examples that OpenAPI shows of folders, moves and what files were; a test holds each against its model."""

from __future__ import annotations

from typing import Any

from fastapi.openapi.models import Example

__all__ = [
    "FOLDER",
    "MADE",
    "MOVED",
    "MOVES",
    "OWNER",
    "PURGED",
    "RESTORED",
    "RESTORES",
    "RULE",
    "RULES",
    "USAGE",
    "VERSION",
]

FOLDER: dict[str, Any] = {"path": "data/raw/", "owner": "ada", "files": 3, "size": 1048576, "made": True}

MADE: dict[str, Any] = {"path": "data/raw/"}

MOVED: dict[str, Any] = {"path": "data/old/", "moved": 3}

MOVES: dict[str, Example] = {
    "file": Example(summary="A file", value={"path": "data/digits.csv", "to": "data/old/digits.csv"}),
    "folder": Example(
        summary="A folder, over what is there",
        value={"path": "data/raw", "to": "data/old", "folder": True, "replace": True},
    ),
}

RULES: dict[str, Example] = {
    "quota": Example(summary="At most ten gigabytes", value={"quota": "10GB"}),
    "time": Example(summary="For two weeks", value={"expires_after": "14d"}),
}

RULE: dict[str, Any] = {
    "quota": 10_000_000_000,
    "expires_after": 1209600.0,
    "owner": "ada",
    "path": "data/incoming",
    "changed_at": "2026-01-31T12:00:00.000000Z",
    "changed_by": "ada",
}

OWNER: dict[str, Any] = {"files": 12, "size": 1048576, "owner": "ada"}

USAGE: dict[str, Any] = {
    **OWNER,
    "quota": 10_000_000_000,
    "uploads": {"files": 1, "size": 67108864},
    "versions": {"files": 3, "size": 4096},
    "trash": {"files": 0, "size": 0},
}

VERSION: dict[str, Any] = {
    "id": "0193e7a4c2d87b1e9f5a3c6d8e0f1a2b",
    "path": "data/digits.csv",
    "owner": "ada",
    "size": 1048576,
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "content_type": "text/csv",
    "created_at": "2026-01-31T12:00:00.000000Z",
    "gone_at": "2026-01-31T13:00:00.000000Z",
    "reason": "deleted",
    "kept_until": "2026-02-07T13:00:00.000000Z",
}

RESTORES: dict[str, Example] = {
    "trash": Example(summary="A deleted folder", value={"path": "data/raw", "folder": True}),
    "version": Example(summary="What a file was", value={"version": VERSION["id"], "to": "data/digits-old.csv"}),
}

RESTORED: dict[str, Any] = {"path": "data/raw/", "restored": 3}

PURGED: dict[str, Any] = {"purged": 3}
