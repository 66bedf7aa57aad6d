"""What a dialect is to the gateway: an application of its own, and how it wants to be treated at the edge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from starlette.types import ASGIApp

from services.gateway.scopes import Voice

__all__ = ["Dialect"]


@dataclass(frozen=True, slots=True)
class Dialect:
    """Another system's API, spoken to its clients and mapped to our own services."""

    name: str
    """Where it is mounted; what credentials call the service."""
    app: ASGIApp
    """Serves paths as the other system has them."""
    say: Voice
    """Says errors as the other system does."""
    brings_file: Callable[[str, str], bool]
    """Says by method and path whether the body of a request is a file's bytes, which have no limit."""
