"""What only operators do: a client's `operations`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from contracts.operations import ParkedChange, ParkedPage, ParkedView, SiteHealth

from .calls import operations as calls

__all__ = ["AsyncOperations", "Operations"]


class Operations:
    """How the site fares, and messages that could not be handled. For admins of the site."""

    def __init__(self, send: Callable[[Any], Any]) -> None:
        self._send = send

    def look(self) -> SiteHealth:
        """Return what is wrong with the site, the worst first."""
        found: SiteHealth = self._send(calls.get_site_health())
        return found

    def list_parked(
        self, *, service: str | None = None, subject: str | None = None, limit: int = 100, cursor: str | None = None
    ) -> ParkedPage:
        """Return some parked messages, oldest first; *subject* is the beginning of where they were sent."""
        call = calls.list_parked(service=service, subject=subject, limit=limit, cursor=cursor)
        found: ParkedPage = self._send(call)
        return found

    def get_parked(self, sequence: int) -> ParkedView:
        """Return a parked message with what is in it."""
        found: ParkedView = self._send(calls.get_parked(sequence))
        return found

    def resend_parked(
        self,
        sequence: int | None = None,
        *,
        service: str | None = None,
        subject: str | None = None,
        everything: bool = False,
    ) -> ParkedChange:
        """Send one parked message again, or up to 500 that fit."""
        call = calls.resend_parked(sequence, service=service, subject=subject, everything=everything)
        found: ParkedChange = self._send(call)
        return found

    def drop_parked(
        self,
        sequence: int | None = None,
        *,
        service: str | None = None,
        subject: str | None = None,
        everything: bool = False,
    ) -> ParkedChange:
        """Drop one parked message, or up to 500 that fit."""
        call = calls.drop_parked(sequence, service=service, subject=subject, everything=everything)
        found: ParkedChange = self._send(call)
        return found


class AsyncOperations:
    """How the site fares, and messages that could not be handled. For admins of the site."""

    def __init__(self, send: Callable[[Any], Awaitable[Any]]) -> None:
        self._send = send

    async def look(self) -> SiteHealth:
        """Return what is wrong with the site, the worst first."""
        found: SiteHealth = await self._send(calls.get_site_health())
        return found

    async def list_parked(
        self, *, service: str | None = None, subject: str | None = None, limit: int = 100, cursor: str | None = None
    ) -> ParkedPage:
        """Return some parked messages, oldest first; *subject* is the beginning of where they were sent."""
        call = calls.list_parked(service=service, subject=subject, limit=limit, cursor=cursor)
        found: ParkedPage = await self._send(call)
        return found

    async def get_parked(self, sequence: int) -> ParkedView:
        """Return a parked message with what is in it."""
        found: ParkedView = await self._send(calls.get_parked(sequence))
        return found

    async def resend_parked(
        self,
        sequence: int | None = None,
        *,
        service: str | None = None,
        subject: str | None = None,
        everything: bool = False,
    ) -> ParkedChange:
        """Send one parked message again, or up to 500 that fit."""
        call = calls.resend_parked(sequence, service=service, subject=subject, everything=everything)
        found: ParkedChange = await self._send(call)
        return found

    async def drop_parked(
        self,
        sequence: int | None = None,
        *,
        service: str | None = None,
        subject: str | None = None,
        everything: bool = False,
    ) -> ParkedChange:
        """Drop one parked message, or up to 500 that fit."""
        call = calls.drop_parked(sequence, service=service, subject=subject, everything=everything)
        found: ParkedChange = await self._send(call)
        return found
