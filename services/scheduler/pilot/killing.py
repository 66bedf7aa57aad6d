"""Ends a run's processes: all of them, wherever they hid."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress

from .census import Census, Member, Proc

__all__ = ["STUCK", "end_leftovers", "end_tree", "kill_tree"]

STUCK = 15.0
"""Seconds after which a killed process that does not end (it hangs in the kernel) is given up."""
_LEFTOVER_GRACE = 0.5
"""Seconds that processes have which outlive their run's first one."""
_LOOK_EVERY = 0.02
_GIVE_UP = 10.0
"""Seconds after which a process that SIGKILL does not end (it hangs in the kernel) is left alone."""
_ROOT_PATIENCE = 0.5
"""Seconds that the wrapper has to write down how its program ended, once that is gone."""


async def end_tree(
    census: Census, run: str, grace: float, see: Callable[[list[Member]], object] = lambda _: None
) -> bool:
    """Ask every process of a run to end; after *grace* seconds make them. Before, *see* may look at them.

    Returns whether an end that looks like the program's own may be an answer to that: somebody does not just die of it.
    """
    members, root = _members(census, run), census.roots.get(run)
    if not members:
        return False
    see(members)
    procs, minds = [member.proc for member in members], False
    # Parents first: none is to see its child die of this, and go on as if that had ended.
    for proc in sorted(procs, key=lambda proc: (proc.started, proc.pid)):
        if census.is_asked(proc):
            minds = minds or (proc.pid != root and _minds(proc.pid))
            _tell(proc, signal.SIGTERM)
        _tell(proc, signal.SIGCONT)
    deadline = time.monotonic() + grace
    while procs and time.monotonic() < deadline:
        await asyncio.sleep(_LOOK_EVERY)
        procs = _living(census, run)
    await kill_tree(census, run)
    return minds


async def end_leftovers(census: Census, run: str) -> None:
    """End what outlived the first process of a run."""
    if not census.is_clean():
        await end_tree(census, run, _LEFTOVER_GRACE)


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


def _minds(pid: int) -> bool:
    """Say whether SIGTERM may do something else to a process than end it: it catches it, ignores it or lets it wait."""
    try:
        with open(f"/proc/{pid}/status", "rb", buffering=0) as file:  # noqa: PTH123 (like the census)
            lines = file.read().splitlines()
    except OSError:
        return False
    said = dict(line.split(b":", 1) for line in lines if b":" in line)
    if said[b"State"].split()[0] in {b"Z", b"X"}:
        return False
    return any(int(said[name], 16) >> (signal.SIGTERM - 1) & 1 for name in (b"SigBlk", b"SigIgn", b"SigCgt"))


def _living(census: Census, run: str) -> list[Proc]:
    return [member.proc for member in _members(census, run)]


def _members(census: Census, run: str) -> list[Member]:
    census.reap()
    return census.members(run, wide=True)


def _tell(proc: Proc, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(proc.pid, number)
