"""The one place that lets work in, or says why not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from contracts.principals import Principal
from contracts.queries import FreezeInputs, Frozen
from contracts.runs import FrozenInput
from contracts.spec import JobSpec
from services.chassis.policy import bill_to

from .arrays.admitting import freeze
from .backends.registry import Backends
from .placement import require_possible

__all__ = ["Admission", "Admitted"]

Ask = Callable[[FreezeInputs], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Admitted:
    """What was let in."""

    spec: JobSpec
    """As it will run."""
    inputs: list[FrozenInput]
    own_inputs: list[FrozenInput] = field(default_factory=list)
    """Of an array: those that differ from task to task."""
    items_of: str | None = None
    """The earlier array whose items are used."""

    @property
    def kept(self) -> JobSpec:
        """Return the spec as records carry it: the items of an array lie elsewhere."""
        array = self.spec.array
        return self.spec if array is None else self.spec.model_copy(update={"array": array.kept()})


class Admission:
    """Checks who pays, whether any backend can hold it, and that its inputs are there; freezes them."""

    def __init__(self, *, backends: Backends, ask: Ask) -> None:
        self._backends = backends
        self._ask = ask

    async def admit(
        self, spec: JobSpec, principal: Principal, *, items: list[str] | None = None, items_of: str | None = None
    ) -> Admitted:
        """Return the spec as it will run and its inputs as they are now; raises what speaks against it."""
        admitted = spec.model_copy(update={"project": bill_to(principal, spec.project)})
        await require_possible(admitted, self._backends)
        if admitted.array is not None:
            words = items if admitted.array.items is None else admitted.array.items
            shared, own = await freeze(admitted, admitted.array, words, principal, self._ask)
            return Admitted(admitted, shared, own, items_of)
        return Admitted(admitted, await self._freeze(admitted, principal))

    async def _freeze(self, spec: JobSpec, principal: Principal) -> list[FrozenInput]:
        if not spec.inputs:
            return []
        frozen: Frozen = await self._ask(FreezeInputs(principal=principal, inputs=spec.inputs))
        return frozen.inputs
