"""Starts the pilot: the one program of a native job, which runs attempts and tells of them."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Mapping

from .guardian import guard
from .system import hide_ourselves

__all__ = ["run"]

_INVISIBLE = ("SHUNTER_PILOT_TOKEN", "SHUNTER_PILOT_URL")


def run() -> None:
    """Run what the scheduler gives to this native job; never returns."""
    given = dict(os.environ)
    for name in _INVISIBLE:
        os.environ.pop(name, None)
    hide_ourselves()
    folder = _folder(given)
    guard(folder, given.get("SHUNTER_PILOT_FETCHED", ""))
    # What follows is large, and the guardian lives as long as we do without it. None of it is garbage.
    gc.disable()
    import asyncio

    from .shift import serve

    gc.enable()
    code = asyncio.run(serve(given, folder))
    sys.stderr.flush()
    os._exit(code)  # threads that hang in a transfer are not waited for


def _folder(given: Mapping[str, str]) -> str:
    """Make the folder of all runs, and return it."""
    name = f"shunter-{given['SHUNTER_PILOT_NAME']}-{os.getpid()}"
    for place in (given.get("SHUNTER_PILOT_WORK"), given.get("TMPDIR"), "/tmp"):  # noqa: S108 (made for us alone)
        if place:
            try:
                os.makedirs(place, exist_ok=True)  # noqa: PTH103
                folder = os.path.join(os.path.abspath(place), name)  # noqa: PTH100, PTH118
                os.mkdir(folder, 0o700)  # noqa: PTH102
            except OSError as error:
                sys.stderr.write(f"shunter pilot: no folder can be made in {place}: {error.strerror}\n")
            else:
                return folder
    sys.stderr.write("shunter pilot: there is no folder to work in\n")
    sys.exit(95)
