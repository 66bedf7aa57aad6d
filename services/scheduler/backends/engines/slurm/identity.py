"""Which job of Slurm's is which: its number, and when it was submitted.

A controller that crashed has lost the jobs of its last seconds, and gives their numbers to others. Those were submitted
at another time; or in the same second, and then the name of the job is another.
"""

from __future__ import annotations

__all__ = ["array_of", "native_id_of", "number_of", "submitted_of", "whole_of"]

_AT = "@"


def native_id_of(number: str, submitted: int) -> str:
    """Return the native id of a job, or of a task of an array: `7@1795722373`, `7_3@1795722373`.

    When it was submitted may not be known (0): of one that was started in this moment, or by an older version.
    """
    return f"{number}{_AT}{submitted}" if submitted else number


def number_of(native_id: str) -> str:
    """Return what Slurm's commands call it."""
    return native_id.partition(_AT)[0]


def submitted_of(native_id: str) -> int:
    """Return when it was submitted, in seconds since 1970; 0 if that is not known."""
    time = native_id.partition(_AT)[2]
    return int(time) if time.isdigit() else 0


def array_of(native_id: str) -> str:
    """Return the number of the array that it is a task of; of any other job its own."""
    return number_of(native_id).partition("_")[0]


def whole_of(number: str, submitted: int, name: str) -> str:
    """Return what a job or a whole array is known by, and no other ever was."""
    return f"{native_id_of(number, submitted)} {name}"
