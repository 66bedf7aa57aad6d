"""The one place that lets work in, or says why not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from contracts.principals import Level, Principal
from contracts.queries import FreezeInputs, Frozen
from contracts.runs import FrozenInput
from contracts.spec import Input, JobSpec
from services.chassis.policy import bill_to

from .backends.registry import Backends
from .placement import require_possible
from .records import Record, inputs_of, to_workload

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
        there = [item for item in billed.inputs if not _is_to_come(item, billed)]
        return Admitted(billed, await self._freeze(there, principal), possible)

    async def check(self, spec: JobSpec, principal: Principal) -> JobSpec:
        """Return the spec as it will run, whatever its inputs may be by then; raises what speaks against it."""
        return (await self._check(spec, principal))[0]

    async def _check(self, spec: JobSpec, principal: Principal) -> tuple[JobSpec, tuple[str, ...]]:
        billed = spec.model_copy(update={"project": bill_to(principal, spec.project)})
        return billed, tuple(await require_possible(billed, self._backends))

    async def freeze_rest(self, row: Record) -> list[FrozenInput]:
        """Return all inputs of a workload that is about to run, those that others left behind for it among them."""
        frozen = inputs_of(row)
        targets = {item.target for item in frozen}
        rest = [item for item in to_workload(row).spec.inputs if item.target not in targets]
        projects = {row["project"]: Level.MEMBER} if row["project"] else {}
        return frozen + await self._freeze(rest, Principal(subject=row["owner"], projects=projects))

    async def _freeze(self, inputs: list[Input], principal: Principal) -> list[FrozenInput]:
        if not inputs:
            return []
        frozen: Frozen = await self._ask(FreezeInputs(principal=principal, inputs=inputs))
        return frozen.inputs


def _is_to_come(item: Input, spec: JobSpec) -> bool:
    """Say whether an input will be left behind by a job whose end is waited for."""
    return any(item.source.startswith(f"jobs/{awaited.job}/") for awaited in spec.after)
