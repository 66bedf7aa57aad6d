"""The one place that lets work in, or says why not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from contracts.arrays import has_place
from contracts.catalog import Catalog
from contracts.errors import InvalidError
from contracts.principals import Level, Principal
from contracts.queries import FreezeInputs, Frozen
from contracts.runs import FrozenInput
from contracts.spec import Input, JobSpec
from services.chassis.asking import AskedOnce
from services.chassis.errors import invalid_from
from services.chassis.policy import bill_to

from .arrays.admitting import freeze
from .catalog.expanding import expand
from .inputs import is_to_come, left_to_freeze, put_together
from .mail.gate import MailGate
from .placing.placer import Placer
from .placing.ranking import Ranking
from .records import Record, inputs_of, to_workload
from .webhooks.gate import HookGate

__all__ = ["Admission", "Admitted", "admitted_before"]

Ask = Callable[[FreezeInputs], Awaitable[Any]]

Offered = Callable[[], Awaitable[Catalog]]
"""Tells which applications there are now."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """What was let in."""

    spec: JobSpec
    """As it will run."""
    inputs: list[FrozenInput]
    backends: tuple[str, ...]
    """Those that can hold it, the best liked first."""
    own_inputs: list[FrozenInput] = field(default_factory=list)
    """Of an array: those that differ from task to task."""
    items_of: str | None = None
    """The earlier array whose items are used."""
    ordered: bool = False
    """Whether it goes to the first of `backends` that has room; else to the one with most room."""

    @property
    def kept(self) -> JobSpec:
        """Return the spec as records carry it: the items of an array lie elsewhere, and so do secrets."""
        array, callback, notify = self.spec.array, self.spec.callback, self.spec.notify
        spec = self.spec if callback is None else self.spec.model_copy(update={"callback": callback.hidden()})
        spec = spec if notify is None else spec.model_copy(update={"notify": notify.hidden()})
        return spec if array is None else spec.model_copy(update={"array": array.kept()})


class Admission:
    """Checks who pays, whether any backend can hold it, and that its inputs are there; freezes them."""

    def __init__(self, *, placer: Placer, ask: Ask, gate: HookGate, offered: Offered, mail: MailGate) -> None:
        self._placer = placer
        self._ask = ask
        self._frozen = AskedOnce(ask)
        self._gate = gate
        self._offered = offered
        self._mail = mail

    async def admit(self, spec: JobSpec, principal: Principal) -> Admitted:
        """Return the spec as it will run and its inputs as they are now; raises what speaks against it."""
        if spec.application is None:
            return await self.admit_again(spec, principal)
        expanded = expand(spec, await self._offered())
        try:
            return await self.admit_again(expanded.spec, principal)
        except InvalidError as refusal:
            raise expanded.in_callers_words(refusal) from refusal

    async def admit_again(
        self, spec: JobSpec, principal: Principal, *, items: list[str] | None = None, items_of: str | None = None
    ) -> Admitted:
        """Do the same for a spec that holds all that is run, such as that of an earlier job.

        An array that is run again has the *items* of an earlier one, *items_of*.
        """
        billed, ranking = await self._check(spec, principal)
        there = [item for item in billed.inputs if not is_to_come(item, billed)]
        if billed.array is None:
            inputs = await self._freeze(there, principal)
            ranking = self._placer.rank_anew(billed, ranking, inputs)
            return Admitted(billed, inputs, ranking.names, ordered=ranking.ordered)
        words = items if billed.array.items is None else billed.array.items
        shared, own = await freeze(there, billed.array, words, principal, self._ask)
        ranking = self._placer.rank_anew(billed, ranking, shared)
        return Admitted(billed, shared, ranking.names, own, items_of, ordered=ranking.ordered)

    async def admit_in_thought(self, spec: JobSpec, principal: Principal) -> tuple[JobSpec, list[FrozenInput]]:
        """Return the spec as it would run and its inputs; raises what a submit is refused with, but for its size.

        Whether any backend can hold it is for the caller to find out.
        """
        whole = spec if spec.application is None else expand(spec, await self._offered()).spec
        billed = self._bill(whole, principal)
        there = [item for item in billed.inputs if not is_to_come(item, billed)]
        if billed.array is None:
            return billed, await self._freeze(there, principal)
        shared, _ = await freeze(there, billed.array, billed.array.items, principal, self._ask)
        return billed, shared

    async def check(self, spec: JobSpec, principal: Principal) -> JobSpec:
        """Return the spec as it will be submitted later, when inputs are looked up; raises what speaks against it.

        Each job that is made of it is admitted by itself: it stays the application that it names, as that is by then,
        and is told to the address that its owner has then.
        """
        whole = spec if spec.application is None else expand(spec, await self._offered()).spec
        checked, _ = await self._check(whole, principal)
        kept = checked if spec.application is None else spec.model_copy(update={"project": checked.project})
        return kept.model_copy(update={"notify": spec.notify})

    async def _check(self, spec: JobSpec, principal: Principal) -> tuple[JobSpec, Ranking]:
        billed = self._bill(spec, principal)
        return billed, await self._placer.require_possible(billed)

    def _bill(self, spec: JobSpec, principal: Principal) -> JobSpec:
        billed = spec.model_copy(update={"project": bill_to(principal, spec.project)})
        if spec.callback is not None:
            self._gate.require(spec.callback, "callback.")
        if spec.notify is not None:
            billed = billed.model_copy(update={"notify": self._mail.admit(spec.notify, principal)})
        return billed

    async def freeze_more(self, row: Record, more: list[Input]) -> list[FrozenInput]:
        """Return the inputs of a workload and *more* of its owner's files; one with the same place is there instead."""
        spec = to_workload(row).spec
        if spec.array is not None:
            raise InvalidError.of("inputs", "an array has the inputs that it was submitted with")
        single = [item.target for item in more if not item.folder]
        if len(set(single)) != len(single):
            raise InvalidError.of("inputs", "two have the same place in the working folder")
        wanted = [item for item in spec.inputs if item.folder or item.target not in single] + more
        try:
            JobSpec.model_validate({**spec.model_dump(), "inputs": [item.model_dump() for item in wanted]})
        except ValidationError as error:
            raise invalid_from(error) from error
        fresh = await self._freeze(more, Principal(subject=row["owner"]))
        brought = {item.target for item in fresh}
        return put_together(more, [item for item in inputs_of(row) if item.target not in brought], fresh)

    async def freeze_rest(self, row: Record) -> list[FrozenInput]:
        """Return all inputs of a workload that is about to run, those that others left behind for it among them."""
        frozen, spec = inputs_of(row), to_workload(row).spec
        rest = left_to_freeze(spec, frozen)
        if not rest:
            return frozen
        projects = {row["project"]: Level.MEMBER} if row["project"] else {}
        fresh = await self._freeze(rest, Principal(subject=row["owner"], projects=projects))
        return put_together(spec.inputs, frozen, fresh)

    async def _freeze(self, inputs: list[Input], principal: Principal) -> list[FrozenInput]:
        if not inputs:
            return []
        # Many jobs of one user often begin with the same files.
        question = FreezeInputs(principal=principal, inputs=inputs)
        frozen: Frozen = await self._frozen(question, question.model_dump_json().encode())
        return list(frozen.inputs)


def admitted_before(
    spec: JobSpec, inputs: list[FrozenInput], items_of: str | None, shared: int | None = None
) -> Admitted:
    """Return what was let in once, from what was told of it.

    Of an array, the first *shared* of its *inputs* are those of all tasks; older releases did not tell how many.
    """
    if spec.array is None:
        return Admitted(spec, inputs, (), [], items_of)
    if shared is None:
        shared = sum(not has_place(item.source) and not is_to_come(item, spec) for item in spec.inputs)
    return Admitted(spec, inputs[:shared], (), inputs[shared:], items_of)
