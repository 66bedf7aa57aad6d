"""The one place that lets work in, or says why not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from contracts.arrays import has_place
from contracts.errors import InvalidError
from contracts.principals import Level, Principal
from contracts.queries import FreezeInputs, Frozen
from contracts.runs import FrozenInput
from contracts.spec import Input, JobSpec
from services.chassis.errors import invalid_from
from services.chassis.policy import bill_to

from .arrays.admitting import freeze
from .backends.registry import Backends
from .mail.gate import MailGate
from .placement import require_possible
from .records import Record, inputs_of, to_workload
from .webhooks.gate import HookGate

__all__ = ["Admission", "Admitted", "admitted_before"]

Ask = Callable[[FreezeInputs], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Admitted:
    """What was let in."""

    spec: JobSpec
    """As it will run."""
    inputs: list[FrozenInput]
    backends: tuple[str, ...]
    """Those that can hold it."""
    own_inputs: list[FrozenInput] = field(default_factory=list)
    """Of an array: those that differ from task to task."""
    items_of: str | None = None
    """The earlier array whose items are used."""

    @property
    def kept(self) -> JobSpec:
        """Return the spec as records carry it: the items of an array lie elsewhere, and so do secrets."""
        array, callback, notify = self.spec.array, self.spec.callback, self.spec.notify
        spec = self.spec if callback is None else self.spec.model_copy(update={"callback": callback.hidden()})
        spec = spec if notify is None else spec.model_copy(update={"notify": notify.hidden()})
        return spec if array is None else spec.model_copy(update={"array": array.kept()})


class Admission:
    """Checks who pays, whether any backend can hold it, and that its inputs are there; freezes them."""

    def __init__(self, *, backends: Backends, ask: Ask, gate: HookGate, mail: MailGate) -> None:
        self._backends = backends
        self._ask = ask
        self._gate = gate
        self._mail = mail

    async def admit(
        self, spec: JobSpec, principal: Principal, *, items: list[str] | None = None, items_of: str | None = None
    ) -> Admitted:
        """Return the spec as it will run and its inputs as they are now; raises what speaks against it.

        An array that is run again has the *items* of an earlier one, *items_of*.
        """
        billed, possible = await self._check(spec, principal)
        there = [item for item in billed.inputs if not _is_to_come(item, billed)]
        if billed.array is None:
            return Admitted(billed, await self._freeze(there, principal), possible)
        words = items if billed.array.items is None else billed.array.items
        shared, own = await freeze(there, billed.array, words, principal, self._ask)
        return Admitted(billed, shared, possible, own, items_of)

    async def check(self, spec: JobSpec, principal: Principal) -> JobSpec:
        """Return the spec as it will run, whatever its inputs may be by then; raises what speaks against it."""
        checked, _ = await self._check(spec, principal)
        # Each job that is made of it is admitted by itself, and told to the address that its owner has then.
        return checked.model_copy(update={"notify": spec.notify})

    async def _check(self, spec: JobSpec, principal: Principal) -> tuple[JobSpec, tuple[str, ...]]:
        billed = spec.model_copy(update={"project": bill_to(principal, spec.project)})
        if spec.callback is not None:
            self._gate.require(spec.callback, "callback.")
        if spec.notify is not None:
            billed = billed.model_copy(update={"notify": self._mail.admit(spec.notify, principal)})
        return billed, tuple(await require_possible(billed, self._backends))

    async def freeze_more(self, row: Record, more: list[Input]) -> list[FrozenInput]:
        """Return the inputs of a workload and *more* of its owner's files; one with the same place is there instead."""
        spec = to_workload(row).spec
        if spec.array is not None:
            raise InvalidError.of("inputs", "an array has the inputs that it was submitted with")
        kept = {item.target: item for item in inputs_of(row)}
        wanted = {item.target: item for item in (*spec.inputs, *more)}
        if len(set(map(_target, more))) != len(more):
            raise InvalidError.of("inputs", "two have the same place in the working folder")
        try:
            JobSpec.model_validate({**spec.model_dump(), "inputs": [item.model_dump() for item in wanted.values()]})
        except ValidationError as error:
            raise invalid_from(error) from error
        fresh = await self._freeze(more, Principal(subject=row["owner"]))
        return list((kept | {item.target: item for item in fresh}).values())

    async def freeze_rest(self, row: Record) -> list[FrozenInput]:
        """Return all inputs of a workload that is about to run, those that others left behind for it among them."""
        frozen = inputs_of(row)
        targets = {item.target for item in frozen}
        rest = [
            item for item in to_workload(row).spec.inputs if item.target not in targets and not has_place(item.source)
        ]
        projects = {row["project"]: Level.MEMBER} if row["project"] else {}
        return frozen + await self._freeze(rest, Principal(subject=row["owner"], projects=projects))

    async def _freeze(self, inputs: list[Input], principal: Principal) -> list[FrozenInput]:
        if not inputs:
            return []
        frozen: Frozen = await self._ask(FreezeInputs(principal=principal, inputs=inputs))
        return frozen.inputs


def admitted_before(spec: JobSpec, inputs: list[FrozenInput], items_of: str | None) -> Admitted:
    """Return what was let in once, from what was told of it: *inputs* are those of all tasks, and then their own."""
    shared = sum(not has_place(item.source) and not _is_to_come(item, spec) for item in spec.inputs)
    return Admitted(spec, inputs[:shared], (), inputs[shared:], items_of)


def _target(item: Input) -> str:
    return item.target


def _is_to_come(item: Input, spec: JobSpec) -> bool:
    """Say whether an input will be left behind by a job whose end is waited for."""
    return any(item.source.startswith(f"jobs/{awaited.job}/") for awaited in spec.after)
