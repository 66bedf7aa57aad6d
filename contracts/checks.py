"""Questions to every service: how it fares, and what is wrong with it."""

from __future__ import annotations

from typing import Any, ClassVar

from .model import Model
from .operations import Diagnosis
from .query import Query

__all__ = ["CheckHealth", "Diagnose", "Health"]


class Health(Model):
    """How a service or one of its parts fares."""

    service: str
    ready: bool
    checks: dict[str, str] = {}
    """Each dependency: `ok` or what is wrong."""
    version: str = ""


class CheckHealth(Query):
    """Are you ready? Asked of every service under its own name."""

    name: ClassVar[str] = "health.check"
    service: ClassVar[str] = "any"
    answer: ClassVar[Any] = Health


class Diagnose(Query):
    """What is wrong with you? Asked of every service under its own name. Answered with a `Diagnosis`."""

    name: ClassVar[str] = "health.diagnose"
    service: ClassVar[str] = "any"
    answer: ClassVar[Any] = Diagnosis
