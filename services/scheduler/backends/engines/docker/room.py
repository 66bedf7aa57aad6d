"""What of the engine's machine is for jobs, and what of it is free.

An engine has no queue of its own: whatever is started there runs at once, and shares what there is. So what is more
waits, in order, and nothing small goes on taking the room that something large waits for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from contracts.errors import InvalidError
from services.scheduler.backends.base import Capacity
from services.scheduler.backends.engines.base import Order

from .settings import DockerSettings, Gpu

__all__ = ["Machine", "Room", "Wants"]

_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Machine:
    """What the engine says of its machine."""

    name: str
    cpus: int
    memory: int


@dataclass(frozen=True, slots=True)
class Wants:
    """What one container is to have of it."""

    cpus: float = 0.0
    memory: int = 0
    gpus: int = 0
    gpu_model: str = ""
    gpu_memory: int = 0

    @classmethod
    def of(cls, order: Order, settings: DockerSettings) -> Wants:
        """Return what an order wants, all its processes together."""
        return cls(
            cpus=order.cpus * order.processes,
            memory=(order.memory or 0) * order.processes or settings.memory or 0,
            gpus=order.gpus * order.processes,
            gpu_model=order.gpu_model or "",
            gpu_memory=order.gpu_memory or 0,
        )

    def texts(self) -> dict[str, str]:
        """Return it as words."""
        return {name: str(getattr(self, name)) for name in self.__slots__}

    @classmethod
    def read(cls, texts: Mapping[str, str]) -> Wants:
        """Read such words; whoever wrote other ones counts as wanting nothing."""
        try:
            return cls(
                cpus=float(texts["cpus"]),
                memory=int(texts["memory"]),
                gpus=int(texts["gpus"]),
                gpu_model=texts["gpu_model"],
                gpu_memory=int(texts["gpu_memory"]),
            )
        except (KeyError, ValueError):
            return cls()

    def is_fit(self, gpu: Gpu) -> bool:
        """Say whether a GPU is of the kind that is wanted."""
        return self.gpu_model.lower() in (gpu.model or "").lower() and self.gpu_memory <= (gpu.memory or 0)


class Room:
    """Counts."""

    def __init__(
        self, settings: DockerSettings, machine: Machine, taken: Sequence[Wants] = (), gpus: Sequence[str] = ()
    ) -> None:
        """*taken* is what runs was given; *gpus* are those that it has."""
        self._gpus = settings.gpus
        self.cpus = min(settings.cpus or machine.cpus, machine.cpus)
        self.memory = min(settings.total_memory or machine.memory, machine.memory)
        self._cpus_free = self.cpus - sum(wants.cpus for wants in taken)
        self._memory_free = self.memory - sum(wants.memory for wants in taken)
        self._gpus_free = [gpu for gpu in settings.gpus if gpu.id not in set(gpus)]

    def refuse(self, wants: Wants, nodes: int) -> None:
        """Refuse what never fits."""
        fitting = sum(wants.is_fit(gpu) for gpu in self._gpus)
        if nodes > 1:
            raise InvalidError.of("resources.nodes", "this backend is one machine")
        if wants.cpus > self.cpus + _ROUNDING:
            raise InvalidError.of("resources.cpus", f"its machine has {self.cpus:g} for jobs")
        if wants.memory > self.memory:
            raise InvalidError.of("resources.memory", f"its machine has {self.memory} bytes for jobs")
        if wants.gpus > fitting:
            raise InvalidError.of("resources.gpus", f"its machine has {fitting} of that kind")

    def take(self, wants: Wants) -> tuple[str, ...] | None:
        """Set aside what is wanted, and return its GPUs; None if that is not free yet: then it is kept for it."""
        fitting = [gpu for gpu in self._gpus_free if wants.is_fit(gpu)][: wants.gpus]
        is_free = (
            wants.cpus <= self._cpus_free + _ROUNDING
            and wants.memory <= self._memory_free
            and len(fitting) == wants.gpus
        )
        self._cpus_free -= wants.cpus
        self._memory_free -= wants.memory
        for gpu in fitting:
            self._gpus_free.remove(gpu)
        return tuple(gpu.id for gpu in fitting) if is_free else None

    def capacity(self, running: int, queued: int) -> Capacity:
        """Return it as placement reads it."""
        return Capacity(
            cpus=self.cpus,
            cpus_free=max(0.0, self._cpus_free),
            memory=self.memory,
            memory_free=max(0, self._memory_free),
            gpus=len(self._gpus),
            gpus_free=len(self._gpus_free),
            gpu_models=tuple(sorted({gpu.model for gpu in self._gpus if gpu.model})),
            running=running,
            queued=queued,
            largest_cpus=self.cpus,
            largest_memory=self.memory,
            largest_gpus=len(self._gpus),
        )
