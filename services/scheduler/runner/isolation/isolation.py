"""Keeps the runs of this node apart from each other and from us, as far as the node allows."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import structlog

from contracts.holdings import Allocation
from services.scheduler.pilot.process import SpawnError
from services.scheduler.runner.census import KEEPER
from services.scheduler.runner.journal import RunFolder
from services.scheduler.runner.settings import RunnerSection

from .box import Box, Node, look_at_node
from .groups import Controller, Limits, find_controllers, limit, memory_kills, remove, usable

__all__ = ["Cell", "Isolation", "leave", "overrun"]

_ENTER = """
exec 9>>"$1"
count=$2
shift 2
while [ "$count" -gt 0 ]; do
  echo $$ >"$1/cgroup.procs" || { echo "shunter: it cannot join $1" >&2; exit 126; }
  count=$((count - 1))
  shift
done
exec "$@"
"""
"""Joins the control groups before anything of the run's is started. The ninth file is where shells say of a program's
death what they have to say."""

_PATIENCE = 10.0
"""Seconds that the trial may take; a host where it takes longer is one where it does not work."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Cell:
    """How one run is kept apart."""

    isolation: Isolation
    missing: tuple[str, ...]
    """What this node does not allow."""
    is_boxed: bool
    controllers: tuple[Controller, ...]

    @property
    def message(self) -> str:
        """Say what was not possible."""
        return f"not isolated in all ways: {'; '.join(self.missing)}" if self.missing else ""

    def can_show_at(self, place: str) -> bool:
        """Say whether the box itself can show the working folder at *place*."""
        return self.is_boxed and self.isolation.node.can_show_at(place)

    def enter(
        self,
        folder: RunFolder,
        argv: Sequence[str],
        env: dict[str, str],
        allocation: Allocation,
        *,
        reads: Sequence[Path],
        place: str | None = None,
    ) -> tuple[list[str], dict[str, str]]:
        """Make what the run needs, and return how its program is started, and with what environment."""
        section = self.isolation.section
        limits = Limits(memory=allocation.memory or None, cpus=allocation.cpus, processes=section.processes)
        try:
            names = [str(path) for path in limit(self.controllers, _group(folder), limits)]
        except OSError as error:
            raise SpawnError(126, f"its limits cannot be set: {error}") from error
        folder.groups.write_text("\n".join(names))
        enter = ["/bin/sh", "-c", _ENTER, "shunter-enter", str(folder.shell), str(len(names)), *names]
        if not self.is_boxed:
            return [*enter, *argv], env
        box = Box(
            bwrap=self.isolation.bwrap or "",
            node=self.isolation.node,
            work=folder.work,
            temporary=folder.temporary,
            reads=tuple(reads),
            place=place,
            has_gpus=bool(allocation.gpu_indices),
            has_network=section.network == "host",
        )
        return [*enter, *box.words(), *argv], {**env, KEEPER: "1"}


class Isolation:
    """Knows what this node allows."""

    def __init__(self, section: RunnerSection, private: Sequence[Path] = ()) -> None:
        """*private*: what no run may see, where runs can be kept from seeing anything."""
        self.section = section
        self.bwrap = shutil.which("bwrap")
        self._private = [*private, *section.hide]

    @cached_property
    def node(self) -> Node:
        """Return what boxes are made of."""
        # Our own python comes first in the path of programs: it is shown wherever it lies.
        ours = [Path(sys.prefix), Path(sys.base_prefix)]
        return look_at_node(hide=self._private, show=[*ours, *self.section.show])

    @cached_property
    def cell(self) -> Cell | None:
        """Return how runs are kept apart, which is tried once; none if they are not to be."""
        if self.section.isolation == "none":
            return None
        mounts, membership = (Path("/proc/self", name).read_text() for name in ("mountinfo", "cgroup"))
        good, reasons = usable(find_controllers(mounts, membership, self.section.cgroup))
        why = self._why_no_box()
        missing = (why, *reasons) if why else tuple(reasons)
        log.info("runner.isolation", boxes=not why, limits=[controller.name for controller in good], missing=missing)
        return Cell(self, missing, is_boxed=not why, controllers=tuple(good))

    @property
    def refusal(self) -> str:
        """Say why nothing may be run here; nothing if it may."""
        if self.cell is None or not self.cell.missing or self.section.isolation != "strict":
            return ""
        return f"this runner has to isolate what it runs, and cannot: {'; '.join(self.cell.missing)}"

    def _why_no_box(self) -> str:
        if self.bwrap is None:
            return "bubblewrap (bwrap) is not installed"
        with tempfile.TemporaryDirectory(prefix="shunter-") as name:
            work, temporary = Path(name, "work"), Path(name, "tmp")
            for folder in (work, temporary):
                folder.mkdir()
            has_network = self.section.network == "host"
            box = Box(self.bwrap, self.node, work, temporary, has_network=has_network)
            why = _fails(["/bin/sh", "-c", 'exec 9>&2 "$@"', "shunter-trial", *box.words(), "/bin/sh", "-c", ":"])
        return f"bubblewrap does not work here: {why}" if why else ""


def overrun(folder: RunFolder, memory: int) -> str:
    """Say that the kernel ended a process of the run for its memory; nothing if it did not."""
    if not memory_kills(_groups(folder)):
        return ""
    return f"the kernel ended a process of it: it wanted more memory, {memory} were asked for"


async def leave(folder: RunFolder) -> None:
    """Remove the groups of a run that is over."""
    if groups := _groups(folder):
        await asyncio.to_thread(remove, groups)


def _groups(folder: RunFolder) -> list[Path]:
    return [Path(line) for line in folder.groups.read_text().splitlines()] if folder.groups.exists() else []


def _group(folder: RunFolder) -> str:
    return f"shunter-{folder.name.replace('/', '.')}"


def _fails(words: Sequence[str]) -> str:
    """Return why a command fails; nothing if it does not."""
    try:
        done = subprocess.run(  # noqa: S603 (our own words)
            words, check=False, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENCE
        )
    except subprocess.TimeoutExpired:
        return "it took too long"
    said = done.stderr.decode(errors="replace").strip()
    return (said or f"it ended with {done.returncode}") if done.returncode else ""
