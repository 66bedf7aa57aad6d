"""Which inputs of a job are there when it is submitted, and which others have yet to leave behind for it."""

from __future__ import annotations

from collections.abc import Sequence

from contracts.arrays import has_place
from contracts.manifests import check_manifest, merged
from contracts.runs import FrozenInput
from contracts.spec import Input, JobSpec

__all__ = ["is_to_come", "left_to_freeze", "put_together"]


def is_to_come(item: Input, spec: JobSpec) -> bool:
    """Say whether an input will be left behind by a job whose end is waited for."""
    return any(f"{item.source}/".startswith(f"jobs/{awaited.job}/") for awaited in spec.after)


def left_to_freeze(spec: JobSpec, frozen: Sequence[FrozenInput]) -> list[Input]:
    """Return the inputs that were to come and are not among those that are *frozen*."""
    if not spec.after:
        return []
    targets = {item.target for item in frozen}
    return [
        item
        for item in spec.inputs
        if is_to_come(item, spec)
        and not has_place(item.source)
        and not (any(_comes_from(one, item) for one in frozen) if item.folder else item.target in targets)
    ]


def put_together(inputs: Sequence[Input], *sets: Sequence[FrozenInput]) -> list[FrozenInput]:
    """Return one manifest of several: of files with one place, that of the input named last in *inputs* is there."""
    found = [item for some in sets for item in some]
    folders = [(place, item) for place, item in enumerate(inputs) if item.folder]
    files = {(item.source, item.target): place for place, item in enumerate(inputs) if not item.folder}

    def place_of(one: FrozenInput) -> int:
        named = files.get((one.source, one.target), -1)
        return max([named, *(place for place, item in folders if _comes_from(one, item))])

    ordered = sorted(found, key=place_of)
    whole = merged((f"inputs.{max(0, place_of(one))}.source", [one]) for one in ordered)
    check_manifest(whole)
    return whole


def _comes_from(one: FrozenInput, folder: Input) -> bool:
    inside = one.source.removeprefix(f"{folder.source}/")
    return inside != one.source and one.target == f"{folder.target}/{inside}"
