"""Slurm by its commands, on this machine or on another."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Iterator, Sequence
from time import monotonic

from contracts.errors import UnavailableError

from . import calls
from .batch import Batch
from .calls import Call
from .door import Door
from .facts import ConfigFacts, read_config
from .identity import native_id_of, number_of
from .nodes import Node, parse_nodes
from .rows import Detail, Row, expand
from .shell import Shell
from .words import is_away

__all__ = ["CommandDoor"]

_AT_ONCE = 500
"""Ids in one command."""

_TASKS = 10

_FACTS_KEPT = 600.0
"""Seconds after which the configuration is read again."""


class CommandDoor(Door):
    """`sbatch`, `squeue`, `sacct`, `scancel`, `sinfo`, `scontrol`."""

    def __init__(self, shell: Shell, *, work: str, partitions: Sequence[str]) -> None:
        self._shell = shell
        self._work = work
        self._partitions = partitions
        self._rows: dict[str, Row | None] = {}
        self._facts: tuple[float, ConfigFacts] | None = None
        self._has_folder = False

    async def submit(self, batch: Batch) -> str:
        """Call `sbatch`."""
        await self._make_folder()
        return calls.parse_submitted(await self._shell.run(calls.submit(batch, self._work)))

    async def queue(self) -> list[Row]:
        """Call `squeue` once for all; a line that has not changed is not read again."""
        text = (await self._shell.run(calls.list_queue())).expect("squeue")
        known = self._rows
        read = {line: known[line] if line in known else calls.parse_row(line) for line in text.split("\n")}
        self._rows = read
        return [row for row in read.values() if row is not None]

    async def details(self, numbers: Collection[str]) -> Iterable[Detail]:
        """Call `squeue` for some of them."""
        answer = await self._shell.run(calls.list_details(numbers))
        if answer.status != 0 and is_away(answer.stderr):
            raise UnavailableError(f"squeue: {answer.stderr.strip()}", retry_after=5.0)
        return calls.parse_details(answer.stdout)  # it fails where one is gone; the others are in its answer

    async def ended(self, numbers: Collection[str]) -> Iterable[Row]:
        """Call `sacct`, which asks slurmdbd or reads the file of ended jobs."""
        facts = await self.facts()
        if not facts.has_accounting and not facts.has_completions:
            return []
        found: list[Row] = []
        for some in _portions(numbers):
            answer = await self._shell.run(calls.list_ended(some, completions=not facts.has_accounting))
            found.extend(calls.parse_ended(answer.stdout))
        return found

    async def warn(self, ids: Collection[str]) -> None:
        """Call `scancel` with a signal; it sends ten at a time, which may take it a while."""
        tasks = [native_id for native_id in ids if "_" in native_id]
        jobs = [native_id for native_id in ids if "_" not in native_id]
        for turn, some in enumerate((*_portions(jobs), *_portions(tasks, _TASKS))):
            there = await self._still_there(some) if turn else some
            if there:
                await self._cancel(calls.warn([number_of(one) for one in there]))

    async def end(self, ids: Collection[str]) -> None:
        """Call `scancel`."""
        for turn, some in enumerate(_portions(ids)):
            there = await self._still_there(some) if turn else some
            if there:
                await self._cancel(calls.end([number_of(one) for one in there]))

    async def _still_there(self, ids: Collection[str]) -> list[str]:
        """Leave out what is gone by now: its number may be another's."""
        rows = await self.queue()
        there = {native_id_of(number, row.submitted) for row in rows for number in expand(row.job)}
        return [native_id for native_id in ids if native_id in there]

    async def sweep(self, numbers: Collection[str]) -> None:
        """Remove the output of Slurm's jobs."""
        for some in _portions(numbers):
            files = (f"{self._work}/logs/{number}.log" for number in some)
            (await self._shell.run(Call(("/bin/rm", "-f", *files)))).expect("rm")

    async def nodes(self) -> list[Node]:
        """Call `sinfo`."""
        text = (await self._shell.run(calls.list_nodes(self._partitions))).expect("sinfo")
        return list(parse_nodes(text))

    async def facts(self, *, fresh: bool = False) -> ConfigFacts:
        """Call `scontrol show config` now and then."""
        if fresh or self._facts is None or monotonic() - self._facts[0] > _FACTS_KEPT:
            text = (await self._shell.run(calls.show_config())).expect("scontrol")
            self._facts = (monotonic(), read_config(text))
        return self._facts[1]

    async def close(self) -> None:
        """Close the shell."""
        await self._shell.close()

    async def _cancel(self, call: Call) -> None:
        """Be silent about what is gone, but not about a controller that is away."""
        answer = await self._shell.run(call)
        if answer.status != 0 and answer.stderr and is_away(answer.stderr):
            raise UnavailableError(f"scancel: {answer.stderr.strip()}", retry_after=5.0)

    async def _make_folder(self) -> None:
        if not self._has_folder:
            logs, runs = shlex.quote(f"{self._work}/logs"), shlex.quote(f"{self._work}/runs")
            call = Call(("/bin/sh", "-c", f"umask 077; exec mkdir -p {logs} {runs}"))
            (await self._shell.run(call)).expect(f"the folder {self._work}")
            self._has_folder = True


def _portions(ids: Collection[str], most: int = _AT_ONCE) -> Iterator[list[str]]:
    every = list(ids)
    return (every[begin : begin + most] for begin in range(0, len(every), most))
