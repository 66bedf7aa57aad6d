"""Gives each run its transfers. The HTTP client is large: it is loaded when the first file travels, and then shared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contracts.runs import RunTask

from .link import Link

if TYPE_CHECKING:
    import httpx

    from .transfer import Transfer

__all__ = ["Carrier"]


class Carrier:
    """Holds the connections to the store."""

    def __init__(self, *, link: Link, patience: float, parallel: int) -> None:
        self._link = link
        self._patience = patience
        self._parallel = parallel
        self._http: httpx.AsyncClient | None = None

    def transfer(self, task: RunTask) -> Transfer:
        """Return the transfers of one run."""
        from .transfer import Transfer, open_client

        if self._http is None:
            self._http = open_client()
        return Transfer(link=self._link, http=self._http, task=task, patience=self._patience, parallel=self._parallel)

    async def close(self) -> None:
        """Hang up."""
        if self._http:
            await self._http.aclose()
