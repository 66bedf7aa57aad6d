"""A psik job is a row of jobs of ours, one for each run. Which one that is follows from its name, without a table."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from contracts.errors import ConflictError, ForbiddenError, MismatchError, NotFoundError, UnavailableError
from contracts.glances import Glance
from contracts.spec import JobSpec
from contracts.states import WorkloadState
from services.gateway.factory import Factory

from .files import WorkFiles
from .models import JobState, JobStepInfo
from .names import BACKEND, JOB, RUN, Stamps, native_id
from .spec import again
from .states import STATES, first_step, last_step, steps_of

__all__ = ["Chain", "PsikJobs"]

_AT_ONCE = 8
"""Runs that are asked for in one question; few jobs have more."""

_MOST_RUNS = 100
_TRIES = 50
"""How many names are tried before somebody else's are blamed."""

_CLOCKS = timedelta(minutes=1)
"""How much the clocks of gateways and scheduler may differ."""


@dataclass(frozen=True, slots=True)
class Chain:
    """A job: its runs, the first one first. There is at least one."""

    jobid: str
    runs: tuple[Glance, ...]

    @property
    def last(self) -> Glance:
        """Return the run that was begun last."""
        return self.runs[-1]

    @property
    def next_run(self) -> int:
        """Return the number of the run that what is uploaded now is for."""
        return len(self.runs) + (self.last.state is not WorkloadState.HELD)


class PsikJobs:
    """Makes, shows and steers psik jobs for one caller."""

    def __init__(self, services: Factory, stamps: Stamps) -> None:
        self._services = services
        self._jobs = services.jobs()
        self._stamps = stamps

    # --- making -------------------------------------------------------------------------------------------------

    async def create(self, make: Callable[[str], JobSpec]) -> str:
        """Hand a job in under a name that nobody has, whoever else gives out names at this moment."""
        for _ in range(_TRIES):
            jobid = self._stamps.next()
            try:
                await self._jobs.submit_as(native_id(jobid, 1), make(jobid), request=secrets.token_hex(32))
            except (MismatchError, NotFoundError):
                self._stamps.skip()
            else:
                return jobid
        raise UnavailableError("every name was taken by somebody else", retry_after=1.0)

    async def start(self, chain: Chain) -> None:
        """Let a new job go, or run it once more; two who do that at the same moment start one run."""
        jobid = chain.jobid
        if chain.last.owner != self._services.caller.principal.subject:
            raise ForbiddenError("only its owner may start it")
        inputs = (await WorkFiles.of(self._services, jobid, chain.runs)).inputs()
        try:
            if chain.last.state is WorkloadState.HELD:
                await self._jobs.start(chain.last.id, inputs)
                return
            ndx = len(chain.runs) + 1
            if ndx > _MOST_RUNS:
                raise ForbiddenError(f"a job has at most {_MOST_RUNS} runs")
            spec = again((await self._jobs.get(chain.last.id)).spec, ndx, inputs, of=chain.last.id)
            await self._jobs.submit_as(native_id(jobid, ndx), spec, request=secrets.token_hex(32))
        except (ConflictError, MismatchError):
            return

    async def cancel(self, chain: Chain) -> None:
        """End whatever of a job has not ended; what has ended stays as it is."""
        for run in chain.runs:
            if not run.state.is_terminal:
                try:
                    await self._jobs.cancel(run.id)
                except ConflictError:
                    continue

    # --- looking ------------------------------------------------------------------------------------------------

    async def chain(self, jobid: str) -> Chain:
        """Return the runs of a job; raises `NotFoundError`, also where it is somebody else's."""
        found: list[Glance] = []
        while len(found) % _AT_ONCE == 0 and len(found) < _MOST_RUNS:
            names = [native_id(jobid, len(found) + number) for number in range(1, _AT_ONCE + 1)]
            more = {item.id: item for item in (await self._jobs.glance(ids=names)).items}
            if not more:
                break
            found += [more[name] for name in names if name in more]
        if not found:
            await self._refuse(jobid)
        return Chain(jobid, tuple(found))

    async def _refuse(self, jobid: str) -> None:
        try:
            await self._jobs.show(native_id(jobid, 1))
        except NotFoundError:
            raise NotFoundError("Job not found") from None
        raise UnavailableError(f"{jobid} is being made at this moment", retry_after=1.0)

    async def history(self, chain: Chain) -> list[JobStepInfo]:
        """Return every step of a job, oldest first."""
        steps = [first_step(chain.runs[0])]
        for run in chain.runs:
            steps += steps_of(run, (await self._jobs.history(run.id)).transitions)
        return steps

    async def page(
        self, *, index: int, limit: int | None, backend: str | None, state: JobState | None
    ) -> list[JobStepInfo]:
        """Return the last step of each job, the newest job first."""
        end = None if limit is None else index + limit
        last: dict[str, Glance] = {}
        cursor: str | None = None
        while True:
            page = await self._jobs.glance(has_label=JOB, cursor=cursor)
            for item in page.items:
                _keep_later(last, item)
            found = [last_step(item) for item in _newest_first(last, backend) if state in {None, STATES[item.state]}]
            cursor = page.next_cursor
            if cursor is None or (end is not None and _settled(found, page.items[-1]) >= end):
                return found[index:end]


def _keep_later(last: dict[str, Glance], item: Glance) -> None:
    """Keep the later run of a job; what only carries our labels is none of ours."""
    jobid, ndx = item.labels[JOB], item.labels.get(RUN, "")
    if not Stamps.is_stamp(jobid) or not ndx.isdecimal() or len(ndx) > len(str(_MOST_RUNS)):
        return
    if native_id(jobid, int(ndx)) != item.id:
        return
    if jobid not in last or int(last[jobid].labels[RUN]) < int(ndx):
        last[jobid] = item


def _newest_first(last: dict[str, Glance], backend: str | None) -> list[Glance]:
    wanted = [(jobid, item) for jobid, item in last.items() if backend in {None, item.labels.get(BACKEND)}]
    return [item for _, item in sorted(wanted, key=lambda found: (float(found[0]), found[0]), reverse=True)]


def _settled(found: list[JobStepInfo], oldest: Glance) -> int:
    """Return how many of the first are followed by none that is still unread: their names are younger than those."""
    unread = (oldest.created_at + _CLOCKS).timestamp()
    return sum(float(step.jobid) > unread for step in found)
