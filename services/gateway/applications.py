"""What the site offers, as users ask for it."""

from __future__ import annotations

from contracts.catalog import Catalog, ListApplications
from services.chassis.bus import Bus

from .callers import Caller

__all__ = ["ApplicationService"]


class ApplicationService:
    """Shows applications to one caller."""

    def __init__(self, *, bus: Bus, caller: Caller) -> None:
        self._bus = bus
        self._caller = caller

    async def catalog(self) -> Catalog:
        """Return what is offered now."""
        found: Catalog = await self._bus.ask(ListApplications(principal=self._caller.principal))
        return found
