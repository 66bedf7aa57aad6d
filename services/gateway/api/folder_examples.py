"""Examples that OpenAPI shows of folders, moves and what files were; a test holds each against its model."""

from __future__ import annotations

from typing import Any

from fastapi.openapi.models import Example

__all__ = ["FOLDER", "MADE", "MOVED", "MOVES"]

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
