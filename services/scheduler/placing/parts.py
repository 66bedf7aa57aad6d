"""What placement is made of."""

from __future__ import annotations

from collections.abc import Callable

from services.chassis.unit import UnitOfWork
from services.scheduler.admission import Admission
from services.scheduler.backends.base import Backend
from services.scheduler.backends.registry import Backends
from services.scheduler.queue.dispatcher import Dispatcher
from services.scheduler.settings import BackendSettings, SchedulerSettings

from .drains import DrainService
from .memory import Memory
from .placer import Placer
from .preview import Previewer
from .reseating import Reseating
from .roster import Pulled, Roster

__all__ = ["PlacingParts"]


class PlacingParts:
    """Every part of placement; those that look at the queue are made when that is there."""

    def __init__(self, unit: UnitOfWork, backends: Backends, settings: SchedulerSettings) -> None:
        self._unit = unit
        self._backends = backends
        self._settings = settings
        self.drains = DrainService(unit=unit, backends=backends)
        self.placer = Placer(backends, settings.scheduler.placement)
        self.pulled = Pulled(backends)

    def previewer(self, admission: Admission, dispatcher: Dispatcher) -> Previewer:
        """Return what tells where a job would go."""
        return Previewer(admission=admission, placer=self.placer, dispatcher=dispatcher)

    def roster(self, dispatcher: Dispatcher, make: Callable[[BackendSettings], Backend]) -> Roster:
        """Return what follows the file of settings."""
        return Roster(
            unit=self._unit,
            backends=self._backends,
            placer=self.placer,
            drains=self.drains,
            make=make,
            file=self._settings.followed_file,
            memory=Memory(self._settings.data / "backends.json", self._unit),
            every=self._settings.scheduler.reread,
            changed=Reseating(unit=self._unit, dispatcher=dispatcher, placer=self.placer).reseat,
        )
