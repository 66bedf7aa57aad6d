"""Paths of files as users write them, and what none of them may hold."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

from .words import plain_line, utf8_size

__all__ = ["FilePath", "clean_path"]

_MOST_OF_NAME = 255
"""Bytes of one name in a path; file systems take no more."""


@lru_cache(maxsize=1024)
def clean_path(value: str) -> str:
    """Return *value* as a normalised relative path, or say why it is none."""
    plain_line(value)
    if value.startswith("/") or "\\" in value:
        raise ValueError("the path must be relative, with / between its parts")
    parts = [part for part in value.split("/") if part not in {"", "."}]
    if ".." in parts:
        raise ValueError("'..' is not allowed in a path")
    if not parts:
        raise ValueError("the path is empty")
    if len(value) > _MOST_OF_NAME // 4 and any(utf8_size(part) > _MOST_OF_NAME for part in parts):
        raise ValueError(f"a name in a path must not be longer than {_MOST_OF_NAME} bytes")
    return "/".join(parts)


FilePath = Annotated[str, StringConstraints(min_length=1, max_length=1024), AfterValidator(clean_path)]
"""A relative path with `/` between its parts and no way out of its folder."""
