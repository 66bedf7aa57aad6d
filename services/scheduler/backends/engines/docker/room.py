"""What of the engine's machine is for jobs, and what of it is free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.errors import InvalidError, ShunterError, UnavailableError
from services.scheduler.backends.base import Capacity
from services.scheduler.backends.engines.base import Order

from .labels import Share
from .settings import DockerSettings, Gpu

__all__ = ["Machine", "Room"]

_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Machine:
    """What the engine says of its machine."""

    name: str
    cpus: int
    memory: int


class Room:
    """Counts. An engine has no queue of its own: whatever is started there runs at once, and shares what there is."""

    def __init__(self, settings: DockerSettings, machine: Machine, taken: Sequence[Share]) -> None:
        self._settings = settings
        self.cpus = min(settings.cpus or machine.cpus, machine.cpus)
        self.memory = min(settings.total_memory or machine.memory, machine.memory)
        self._taken = list(taken)

    @property
    def cpus_free(self) -> float:
        """Return the cores that nobody was promised."""
        return max(0.0, self.cpus - sum(share.cpus for share in self._taken))

    @property
    def memory_free(self) -> int:
        """Return the bytes that nobody was promised."""
        return max(0, self.memory - sum(share.memory for share in self._taken))

    def take(self, order: Order) -> Share | ShunterError:
        """Set aside what *order* needs, or say why it has to wait or never fits."""
        cpus, count = order.cpus * order.processes, order.gpus * order.processes
        memory = (order.memory or 0) * order.processes or self._settings.memory or 0
        fitting = [gpu for gpu in self._settings.gpus if _is_fit(gpu, order)]
        if refusal := self._never(order, cpus, memory, fitting):
            return refusal
        busy = {name for share in self._taken for name in share.gpus}
        free = [gpu.id for gpu in fitting if gpu.id not in busy]
        for what, wanted, there in (
            ("CPUs", cpus, self.cpus_free),
            ("bytes of memory", memory, self.memory_free),
            ("such GPUs", count, len(free)),
        ):
            if wanted > there + _ROUNDING:
                return UnavailableError(f"its machine is full: {there:g} {what} are free, and {wanted:g} are wanted")
        share = Share(cpus, memory, tuple(free[:count]))
        self._taken.append(share)
        return share

    def give_back(self, share: Share) -> None:
        """Note that something did not start after all."""
        self._taken.remove(share)

    def capacity(self, running: int) -> Capacity:
        """Return it as placement reads it."""
        busy = {name for share in self._taken for name in share.gpus}
        gpus = self._settings.gpus
        return Capacity(
            cpus=self.cpus,
            cpus_free=self.cpus_free,
            memory=self.memory,
            memory_free=self.memory_free,
            gpus=len(gpus),
            gpus_free=sum(gpu.id not in busy for gpu in gpus),
            gpu_models=tuple(sorted({gpu.model for gpu in gpus if gpu.model})),
            running=running,
            largest_cpus=self.cpus,
            largest_memory=self.memory,
            largest_gpus=len(gpus),
        )

    def _never(self, order: Order, cpus: float, memory: int, fitting: Sequence[Gpu]) -> ShunterError | None:
        if order.nodes > 1:
            return InvalidError.of("resources.nodes", "this backend is one machine")
        if cpus > self.cpus + _ROUNDING:
            return InvalidError.of("resources.cpus", f"its machine has {self.cpus:g} for jobs")
        if memory > self.memory:
            return InvalidError.of("resources.memory", f"its machine has {self.memory} bytes for jobs")
        if order.gpus * order.processes > len(fitting):
            return InvalidError.of("resources.gpus", f"its machine has {len(fitting)} of that kind")
        return None


def _is_fit(gpu: Gpu, order: Order) -> bool:
    model = order.gpu_model is None or order.gpu_model.lower() in (gpu.model or "").lower()
    return model and (order.gpu_memory is None or (gpu.memory is not None and gpu.memory >= order.gpu_memory))
