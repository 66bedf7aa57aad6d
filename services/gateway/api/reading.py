"""Bodies that a route reads itself: once, straight into its model, which is half the work of FastAPI's way."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

__all__ = ["body_of", "headers_of", "read_json"]

_M = TypeVar("_M", bound=BaseModel)


async def read_json(request: Request, kind: type[_M]) -> _M:
    """Return the body of a request; raises what FastAPI raises for one that is wrong."""
    raw = await request.body()
    if not raw:
        raise RequestValidationError([{"type": "missing", "loc": ("body",), "msg": "Field required"}])
    try:
        return _read(raw, kind)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False)
        raise RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in found]) from error


def _read(raw: bytes, kind: type[_M]) -> _M:
    try:
        return kind.model_validate_json(raw)
    except ValidationError as error:
        if not any(found["type"] == "json_invalid" for found in error.errors()):
            raise
        # It is JSON, as was checked, but holds what is no text, half a surrogate pair: this way names the field.
        return kind.model_validate(json.loads(raw))


def body_of(kind: type[BaseModel], examples: Mapping[str, Any], **others: Mapping[str, Any]) -> dict[str, Any]:
    """Tell OpenAPI of such a body: its model, which the app adds, and examples; *others* by the name of a format."""
    schema = {"$ref": f"#/components/schemas/{kind.__name__}"}
    kinds = {"json": examples, **others}
    content = {f"application/{name}": {"schema": schema, "examples": shown} for name, shown in kinds.items()}
    return {"requestBody": {"required": True, "content": content}}


def headers_of(*headers: Any) -> dict[str, Any]:
    """Tell OpenAPI of optional headers that a route reads itself, from what FastAPI would be given for them."""
    return {
        "parameters": [
            {
                "name": header.alias,
                "in": "header",
                "required": False,
                "schema": {"anyOf": [{"type": "string"}, {"type": "null"}], "examples": header.examples},
                "description": header.description,
            }
            for header in headers
        ]
    }
