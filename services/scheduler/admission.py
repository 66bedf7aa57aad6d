"""The one place that lets work in, or says why not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from contracts.principals import Principal
from contracts.queries import FreezeInputs, Frozen
from contracts.runs import FrozenInput
from contracts.spec import JobSpec
from services.chassis.policy import bill_to

from .backends.registry import Backends
from .placement import require_possible

__all__ = ["Admission", "Admitted"]

Ask = Callable[[FreezeInputs], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Admitted:
    """A spec as it will run, its inputs as they are, and the backends that can hold it."""

    spec: JobSpec
    inputs: list[FrozenInput]
    backends: tuple[str, ...]


class Admission:
    """Checks who pays, whether any backend can hold it, and that its inputs are there; freezes them."""

    def __init__(self, *, backends: Backends, ask: Ask) -> None:
        self._backends = backends
        self._ask = ask

    async def admit(self, spec: JobSpec, principal: Principal) -> Admitted:
        """Return the spec as it will run and its inputs as they are now; raises what speaks against it."""
        billed, possible = await self._check(spec, principal)
        return Admitted(billed, await self._freeze(billed, principal), possible)

    async def check(self, spec: JobSpec, principal: Principal) -> JobSpec:
        """Return the spec as it will run, whatever its inputs may be by then; raises what speaks against it."""
        return (await self._check(spec, principal))[0]

    async def _check(self, spec: JobSpec, principal: Principal) -> tuple[JobSpec, tuple[str, ...]]:
        billed = spec.model_copy(update={"project": bill_to(principal, spec.project)})
        return billed, tuple(await require_possible(billed, self._backends))

    async def _freeze(self, spec: JobSpec, principal: Principal) -> list[FrozenInput]:
        if not spec.inputs:
            return []
        frozen: Frozen = await self._ask(FreezeInputs(principal=principal, inputs=spec.inputs))
        return frozen.inputs
