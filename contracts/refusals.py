"""The event of requests that the gateway turned away."""

from __future__ import annotations

from typing import ClassVar

from .fact import Event
from .model import Timestamp

__all__ = ["RequestRefused"]


class RequestRefused(Event):
    """The gateway turned requests away: nobody known asked, they may not, or they came too often."""

    name: ClassVar[str] = "request.refused"

    principal: str | None = None
    """Who asked, where that is known."""
    address: str = ""
    """Where they came from; empty where those of many places are told together."""
    method: str = ""
    route: str = ""
    """The form of the path, such as `/v1/jobs/{job_id}`; empty where none was looked for."""
    status: int
    code: str
    count: int = 1
    """How many such requests there were in about a second."""
    first_at: Timestamp
    last_at: Timestamp

    @property
    def subject_id(self) -> str:
        """Return why."""
        return self.code
