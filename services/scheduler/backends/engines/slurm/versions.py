"""Which version of slurmrestd's API is spoken: the newest that is known here of those that the server offers. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from contracts.errors import UnavailableError

__all__ = ["choose_version", "number_of_version", "offered_versions"]

_PATH = re.compile(r"^/slurm/v0\.0\.(\d+)/")
_NEWEST = 44
"""The newest whose description was read; later ones are likely to understand the same."""


def number_of_version(word: str) -> int:
    """Return 38 of `v0.0.38`."""
    return int(word.rpartition(".")[2])


def offered_versions(description: Mapping[str, Any]) -> set[int]:
    """Read the versions out of the OpenAPI description of a server."""
    paths = description.get("paths")
    found = (_PATH.match(path) for path in (paths if isinstance(paths, Mapping) else ()))
    return {int(match[1]) for match in found if match}


def choose_version(offered: Iterable[int]) -> int:
    """Choose the newest that is known, else the oldest that is too new; `UnavailableError` if there is none."""
    every = sorted(offered)
    known = [version for version in every if version <= _NEWEST]
    if not every:
        raise UnavailableError("slurmrestd offers no version of /slurm/v0.0", retry_after=60.0)
    return known[-1] if known else every[0]
