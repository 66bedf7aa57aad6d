"""What the scheduler needs to keep clusters."""

from __future__ import annotations

from pathlib import Path

from contracts.runs import RunTicket
from services.chassis.service import Frame
from services.chassis.settings import ChassisSettings
from services.chassis.tickets import Tickets
from services.scheduler.arrays.desk import ArrayDesk
from services.scheduler.backends.registry import Backends

from .adopting import Adopter
from .cluster import Cluster, Means
from .ending import Ender
from .keeper import Keeper
from .keepers import Keepers
from .launching import Launcher
from .looking import Looker
from .probing import NativeProbes
from .starting import Starter

__all__ = ["NativeParts", "means_of"]


def means_of(frame: Frame, settings: ChassisSettings, launcher: Launcher) -> Means:
    """Return what all clusters of a site get from us."""
    key = settings.ticket_key.get_secret_value()
    return Means(unit=frame.unit, bus=frame.bus, launcher=launcher, data=Path(settings.data), key=key)


class NativeParts:
    """Who keeps the clusters that there are, and who looks whether all is well with them."""

    def __init__(self, frame: Frame, backends: Backends, desk: ArrayDesk, tickets: Tickets[RunTicket]) -> None:
        self._desk = desk
        self._tickets = tickets
        self._ender = Ender(unit=frame.unit, bus=frame.bus, desk=desk)
        self.keepers = Keepers(backends=backends, bus=frame.bus, make=self._keeper)
        self.probes = NativeProbes(unit=frame.unit, backends=backends)

    def _keeper(self, cluster: Cluster) -> Keeper:
        looker = Looker(cluster, self._ender, Adopter(cluster, self._desk, self._tickets))
        return Keeper(cluster, Starter(cluster, self._ender), looker)
