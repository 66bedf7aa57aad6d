"""Ends a run's processes: all of them, wherever they hid."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import suppress

from .census import KEEPER, Census, Proc, has_variable

__all__ = ["end_tree", "kill_tree"]

_LOOK_EVERY = 0.02
_GIVE_UP = 10.0
"""Seconds after which a process that SIGKILL does not end (it hangs in the kernel) is left alone."""
_ROOT_PATIENCE = 0.5
"""Seconds that the wrapper has to write down how its program ended, once that is gone."""


async def end_tree(census: Census, run: str, grace: float) -> None:
    """Ask every process of a run to end; after *grace* seconds make them."""
    procs = _living(census, run)
    if not procs:
        return
    for proc in procs:
        # What holds a box would take all inside along: it ends with its program, and is made to when time is up.
        if not has_variable(proc.pid, KEEPER):
            _tell(proc, signal.SIGTERM)
        _tell(proc, signal.SIGCONT)
    deadline = time.monotonic() + grace
    while procs and time.monotonic() < deadline:
        await asyncio.sleep(_LOOK_EVERY)
        procs = _living(census, run)
    await kill_tree(census, run)


async def kill_tree(census: Census, run: str) -> None:
    """Kill every process of a run; the wrapper last, so that it can tell the exit code."""
    began = time.monotonic()
    while procs := _living(census, run):
        root = census.roots.get(run)
        waited = time.monotonic() - began
        for proc in procs:
            if proc.pid != root or (len(procs) == 1 and waited > _ROOT_PATIENCE):
                _tell(proc, signal.SIGKILL)
        if waited > _GIVE_UP:
            return
        await asyncio.sleep(_LOOK_EVERY)


def _living(census: Census, run: str) -> list[Proc]:
    census.reap()
    return [member.proc for member in census.members(run)]


def _tell(proc: Proc, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(proc.pid, number)
