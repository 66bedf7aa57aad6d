"""Long lists of rows that mostly stay as they were: only those that changed are read closely."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from contracts.errors import UnavailableError

__all__ = ["Kept", "Raw"]

Raw = Mapping[str, Any]
"""A row as it came, of which only the id and the version are trusted to be there."""
T = TypeVar("T", bound=BaseModel)


class Kept(Generic[T]):
    """The rows of one list, by their ids; one of the same version is not read again."""

    def __init__(self, shape: type[T], version: Callable[[Raw], object]) -> None:
        self._shape = shape
        self._version = version
        self._rows: dict[str, tuple[object, T]] = {}

    def read(self, rows: Iterable[Raw]) -> list[T]:
        """Return the list; what is not in it any more is let go."""
        before, self._rows = self._rows, {}
        try:
            for row in rows:
                version, key = self._version(row), row["ID"]
                known = before.get(key)
                kept = known if known and known[0] == version else (version, self._shape.model_validate(row))
                self._rows[key] = kept
        except (ValidationError, LookupError, TypeError) as error:
            said = f"{error.error_count()} errors" if isinstance(error, ValidationError) else type(error).__name__
            raise UnavailableError(f"a list of Nomad's is not what it should be: {said}") from error
        return [row for _, row in self._rows.values()]
