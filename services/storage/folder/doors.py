"""Signed URLs of the folder store: what a signature lets whoever has it do."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Literal

from pydantic import SecretStr

from contracts.errors import ForbiddenError
from contracts.model import Model, now
from services.chassis.tickets import Tickets

__all__ = ["OBJECTS", "Door", "Doors", "until"]

OBJECTS = "/objects"
"""Where the store is served."""


class Door(Model):
    """One thing that may be done with one object."""

    does: Literal["get", "put", "part", "form"]
    key: str
    """Of the object; of a form what its keys begin with."""
    until: float
    """Seconds since 1970."""
    upload_id: str = ""
    number: int = 0
    filename: str = ""
    content_type: str = ""
    most: int = 0
    """Bytes of one file of a form."""


class Doors:
    """Signs and reads doors."""

    def __init__(self, key: SecretStr, url: str) -> None:
        """*url*: where users and runners reach this service."""
        self._tickets = Tickets(key, Door)
        self.url = f"{url.rstrip('/')}{OBJECTS}"

    def sign(self, door: Door) -> str:
        """Return the signature alone."""
        return self._tickets.issue(door)

    def open(self, door: Door) -> str:
        """Return a URL."""
        return f"{self.url}/{self.sign(door)}"

    def read(self, signature: str) -> Door:
        """Return what may be done; raises `ForbiddenError` if that is nothing, or not any more."""
        door = self._tickets.read(signature, math.inf)
        if now().timestamp() > door.until:
            raise ForbiddenError("the URL has expired")
        return door


def until(span: timedelta) -> float:
    """Return when a door closes."""
    return (now() + span).timestamp()
