"""Freezes what a job is to read: every file of it, with the object that holds its bytes now."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.errors import FieldError, InvalidError
from contracts.manifests import MAX_FILES, check_manifest, merged
from contracts.queries import FreezeInputs, Frozen
from contracts.runs import FrozenInput
from contracts.spec import Input
from services.chassis.unit import UnitOfWork

from .folders import is_made
from .listing import successor
from .store import StoredFile, find_files, range_of_files

__all__ = ["Freezer"]

_FEW = 64
"""Inputs, and files of each, that are read without a thread's help."""

_NAMED = 20
"""Missing inputs that are named in one refusal."""


class Freezer:
    """Answers what the inputs of a submit are."""

    def __init__(self, unit: UnitOfWork) -> None:
        self._unit = unit

    async def freeze(self, query: FreezeInputs) -> Frozen:
        """Resolve inputs to the objects that hold their bytes now; refuses those that are not there, by their place."""
        owner, inputs = query.principal.subject, query.inputs
        sets = await self._sets(owner, inputs)
        if missing := [number for number, files in enumerate(sets) if not files]:
            missing = await self._not_made(owner, inputs, missing)
        if missing:
            raise _missing(missing, inputs)
        frozen = [item for files in sets for item in files]
        if any(item.folder for item in inputs):
            frozen = merged((f"inputs.{number}.source", files) for number, files in enumerate(sets))
        check_manifest(frozen)
        return Frozen(inputs=frozen)

    async def _not_made(self, owner: str, inputs: list[Input], empty: list[int]) -> list[int]:
        """Return those of some inputs that are not even folders in which nothing lies."""
        async with self._unit.reading() as connection:
            return [
                number
                for number in empty
                if not inputs[number].folder or not await is_made(connection, owner, f"{inputs[number].source}/")
            ]

    async def _sets(self, owner: str, inputs: list[Input]) -> list[list[FrozenInput]]:
        """Return the files of each input; most jobs have few, and cost no thread."""
        if len(inputs) <= _FEW:
            async with self._unit.looking_up() as connection:
                sets = await _sets_of(connection, owner, inputs, _FEW)
            if all(len(files) < _FEW for files in sets):
                return sets
        async with self._unit.reading() as connection:
            # One more than is taken, so that too many are refused rather than left out.
            return await _sets_of(connection, owner, inputs, MAX_FILES + 1)


async def _sets_of(connection: AsyncConnection, owner: str, inputs: list[Input], most: int) -> list[list[FrozenInput]]:
    found = await find_files(connection, owner, [item.source for item in inputs if not item.folder])
    return [await _set_of(connection, owner, item, found, most) for item in inputs]


async def _set_of(
    connection: AsyncConnection, owner: str, item: Input, found: dict[str, StoredFile], most: int
) -> list[FrozenInput]:
    if not item.folder:
        return [_frozen(found[item.source], item.target)] if item.source in found else []
    folder = f"{item.source}/"
    files = await range_of_files(connection, owner, folder, successor(folder), most)
    return [_frozen(file, f"{item.target}/{file.path.removeprefix(folder)}") for file in files]


def _frozen(file: StoredFile, target: str) -> FrozenInput:
    return FrozenInput(source=file.path, target=target, key=file.key, size=file.size, sha256=file.sha256)


def _missing(numbers: list[int], inputs: list[Input]) -> InvalidError:
    errors = [_none_of(number, inputs[number]) for number in numbers[:_NAMED]]
    return InvalidError("; ".join(f"{error.field}: {error.message}" for error in errors[:3]), errors=errors)


def _none_of(number: int, item: Input) -> FieldError:
    what = f"there is no {'folder' if item.folder else 'file'} {item.source}"
    return FieldError(field=f"inputs.{number}.source", message=what)
