"""Why a job was not taken, in decode's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from contracts.catalog import Catalog, Entrypoint
from contracts.errors import ConflictError, ShunterError

from .models import JobCreate

__all__ = ["refusal_of"]

_TAKEN = "Job name must be unique"


def refusal_of(error: ShunterError | ValidationError, wish: JobCreate, catalog: Catalog) -> Exception:
    """Return what is said of a job that was refused."""
    if isinstance(error, ConflictError):
        return HTTPException(409, _TAKEN)
    if found := _unknown(wish, catalog.applications):
        return RequestValidationError([found])
    if isinstance(error, ValidationError):
        return HTTPException(400, "; ".join(one["msg"] for one in error.errors()[:5]))
    return HTTPException(400, error.detail)


def _unknown(wish: JobCreate, offered: Mapping[str, Mapping[str, Mapping[str, Entrypoint]]]) -> dict[str, Any] | None:
    """Return what the catalog does not have, or does not let users set."""
    named = wish.application
    if named.application not in offered:
        return _entry("application", named.application, list(offered))
    versions = offered[named.application]
    if named.version not in versions:
        return _entry("version", named.version, list(versions))
    entrypoints = versions[named.version]
    if named.entrypoint not in entrypoints:
        return _entry("entrypoint", named.entrypoint, list(entrypoints))
    allowed = entrypoints[named.entrypoint].app.env
    if set(wish.attributes.env_vars or ()) - set(allowed):
        place = ("body", "attributes", "env_vars")
        return {"type": "value_error", "loc": place, "msg": f"Value error, Environment variables must be in {allowed}."}
    return None


def _entry(part: str, given: str, known: Sequence[str]) -> dict[str, Any]:
    return {
        "type": "value_error",
        "loc": ("body", "application", part),
        "msg": f"Value error, {part.capitalize()} must be one of {known}, not {given[:64]}.",
        "input": given,
    }
