"""The one place that lets work in, or says why not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from contracts.principals import Principal
from contracts.queries import FreezeInputs, Frozen
from contracts.runs import FrozenInput
from contracts.spec import JobSpec
from services.chassis.policy import bill_to

from .backends.registry import Backends
from .placement import require_possible

__all__ = ["Admission"]

Ask = Callable[[FreezeInputs], Awaitable[Any]]


class Admission:
    """Checks who pays, whether any backend can hold it, and that its inputs are there; freezes them."""

    def __init__(self, *, backends: Backends, ask: Ask) -> None:
        self._backends = backends
        self._ask = ask

    async def admit(self, spec: JobSpec, principal: Principal) -> tuple[JobSpec, list[FrozenInput]]:
        """Return the spec as it will run and its inputs as they are now; raises what speaks against it."""
        admitted = await self.check(spec, principal)
        return admitted, await self._freeze(admitted, principal)

    async def check(self, spec: JobSpec, principal: Principal) -> JobSpec:
        """Return the spec as it will run, whatever its inputs may be by then; raises what speaks against it."""
        admitted = spec.model_copy(update={"project": bill_to(principal, spec.project)})
        await require_possible(admitted, self._backends)
        return admitted

    async def _freeze(self, spec: JobSpec, principal: Principal) -> list[FrozenInput]:
        if not spec.inputs:
            return []
        frozen: Frozen = await self._ask(FreezeInputs(principal=principal, inputs=spec.inputs))
        return frozen.inputs
