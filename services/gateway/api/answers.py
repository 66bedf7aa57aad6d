"""Answers of routes: JSON straight from the models, and how OpenAPI is told of them."""

from __future__ import annotations

from collections.abc import Mapping
from types import UnionType
from typing import Any

from pydantic import BaseModel
from starlette.responses import Response

from contracts.errors import ShunterError

from .problems import problems

__all__ = ["Responses", "answers", "json_answer"]

Responses = dict[int | str, dict[str, Any]]


def json_answer(model: BaseModel, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Write a model as JSON; it was checked when it was made."""
    return Response(model.model_dump_json(), status_code=status, headers=headers, media_type="application/json")


def answers(
    *refusals: type[ShunterError],
    example: object = None,
    status: int = 200,
    more: Mapping[int, tuple[str, type[BaseModel] | UnionType | None]] | None = None,
    media_type: str = "application/json",
    binary: bool = False,
) -> Responses:
    """Declare what a route answers: an example of the good answer, further good ones, and its problems."""
    found: Responses = problems(*refusals)
    if example is not None or binary:
        content: dict[str, Any] = {"example": example} if example is not None else {}
        if binary:
            content["schema"] = {"type": "string", "format": "binary"}
        found[status] = {"description": "As asked.", "content": {media_type: content}}
    for code, (description, model) in (more or {}).items():
        found[code] = {"description": description, **({"model": model} if model else {})}
    return found
