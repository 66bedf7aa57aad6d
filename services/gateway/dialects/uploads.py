"""Files that come in a form of another system, and how its routes declare them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError

from services.gateway.forms import FormFile, InvalidFormError, form_files

__all__ = ["BYTES", "FILE", "announced", "form_body", "required_files"]

_AROUND = 2**20
"""Bytes of a form that may be something else than the file."""

FILE: dict[str, Any] = {"type": "string", "format": "binary"}

BYTES: dict[str, Any] = {"application/octet-stream": {"schema": FILE}}
"""Content of a request or an answer that is a file."""


def form_body(field: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Declare a form with files in one field for OpenAPI."""
    form = {"type": "object", "required": [field], "properties": {field: schema}}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": form}}}}


def announced(request: Request) -> int:
    """Return how large the file of a form is at least, as far as that was said; 0 if it is small, or nobody knows."""
    length = request.headers.get("content-length", "")
    return max(0, int(length) - _AROUND) if length.isdecimal() else 0


@asynccontextmanager
async def required_files(request: Request, field: str, most: int) -> AsyncIterator[list[FormFile]]:
    """Read a form as `form_files` does; one without a file in its field, or none at all, lacks the field."""
    try:
        async with form_files(request, field, most) as files:
            if not files:
                raise _lacking(field)
            yield files
    except InvalidFormError:
        raise _lacking(field) from None


def _lacking(field: str) -> RequestValidationError:
    return RequestValidationError([{"type": "missing", "loc": ("body", field), "msg": "Field required"}])
