"""Reads the backends and the policies of placement out of the site's file; what is wrong is told with its line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

from pydantic import BaseModel, Field, ValidationError, model_validator

from contracts.catalog import CatalogFault
from contracts.documents import Document, read_documents
from contracts.errors import InvalidError
from services.scheduler.settings import BackendSettings, require_consistent

from .settings import PlacementSettings

__all__ = ["BrokenFileError", "Sections", "read_sections"]

_NAMED = 50
"""Faults that are told; more help nobody."""


class BrokenFileError(Exception):
    """The file cannot be used."""

    def __init__(self, faults: list[CatalogFault]) -> None:
        super().__init__("; ".join(fault.message for fault in faults[:3]))
        self.faults = faults


class Sections(BaseModel):
    """What of the section `scheduler` can be changed while it runs."""

    backends: list[BackendSettings] = Field(default=[BackendSettings()], min_length=1)
    placement: PlacementSettings = PlacementSettings()

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_consistent(self.backends, self.placement)
        return self


def read_sections(raw: bytes) -> Sections:
    """Return what a file says of backends; raises `BrokenFileError`."""
    try:
        document = read_documents(raw.decode(), "the file")[0]
    except (InvalidError, UnicodeDecodeError) as error:
        raise BrokenFileError([CatalogFault(message=str(error)[:500])]) from error
    section = document.value.get("scheduler")
    found = section if isinstance(section, dict) else {}
    try:
        return Sections.model_validate({name: found[name] for name in Sections.model_fields if name in found})
    except ValidationError as error:
        faults = [_fault(document, place, message) for place, message in _errors(error, found.get("backends"))]
        raise BrokenFileError(sorted(faults[:_NAMED], key=lambda fault: fault.line or 0)) from error


def _errors(error: ValidationError, backends: Any) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Go through all that is wrong; what the kind of a backend finds wrong stands in the part of its name."""
    for found in error.errors(include_url=False, include_input=False):
        place = found["loc"]
        if place[:1] == ("backends",) and len(place) > 2 and place[2] not in BackendSettings.model_fields:
            place = (*place[:2], str(backends[place[1]].get("kind")), *place[2:])
        yield place, found["msg"].removeprefix("Value error, ")


def _fault(document: Document, place: tuple[str | int, ...], message: str) -> CatalogFault:
    whole = ("scheduler", *place)
    field = ".".join(str(part) for part in whole)
    return CatalogFault(line=document.line_of(whole), field=field[:500], message=message[:500])
