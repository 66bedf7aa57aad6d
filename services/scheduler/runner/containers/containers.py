"""Runs of this worker that have an image: each in a container of the engine that is at hand."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import structlog

from contracts.errors import InvalidError, RefusedError, ShunterError, UnavailableError
from contracts.holdings import Allocation
from contracts.spec import Output
from contracts.states import Reason
from services.scheduler.containers.link import GONE, Link, status_of
from services.scheduler.containers.pulls import Pulls
from services.scheduler.containers.settings import EngineAccess
from services.scheduler.pilot.census import MARKER
from services.scheduler.runner.census import KEEPER
from services.scheduler.runner.errors import NoBoxError
from services.scheduler.runner.journal import RunFolder, Verdict
from services.scheduler.runner.settings import ContainerSection

from .spec import PLACE, RUN, WORKER, Boxed, config_of, name_of, read_only

__all__ = ["Containers"]

_ASKED = 5.0
"""Seconds for which it is believed that the engine answers, or does not."""
_ANSWER = 10.0
_PATIENCE = 60.0
"""Seconds for which an engine that is away is waited for when a run is about to begin."""
_AGAIN = 0.5
_NOBODY = 65534

log = structlog.get_logger(__name__)


class Containers:
    """One engine, and what of it is ours."""

    def __init__(self, section: ContainerSection, work: Path) -> None:
        self._section = section
        self._access = EngineAccess(url=section.url, threads=4, pull=section.pull, credentials=section.credentials)
        self._link = Link(self._access)
        self._pulls = Pulls(self._access, self._link)
        self._worker = str(work)
        self._user = _user(section)
        self._asked = -_ASKED
        self._answers = False

    async def answers(self) -> bool:
        """Say whether the engine is there; it is asked once in a while."""
        if time.monotonic() - self._asked > _ASKED:
            found = False
            with suppress(ShunterError, TimeoutError):
                async with asyncio.timeout(_ANSWER):
                    found = bool(await self._link.call(lambda client: client.ping()))
            if found is not self._answers:
                log.info("worker.images", engine=self._section.url, runs=found)
            self._answers, self._asked = found, time.monotonic()
        return self._answers

    async def sweep(self, living: Collection[str]) -> None:
        """Remove the containers of runs of ours that are over, such as those of a worker that was killed."""
        wanted = {"label": f"{WORKER}={self._worker}"}
        with suppress(ShunterError):
            for one in await self._link.call(lambda client: client.containers(all=True, filters=wanted)):
                if one["Labels"][RUN].partition("/")[0] not in living:  # a task of a bundle has its name and a number
                    await self._remove(one["Id"])

    async def close(self) -> None:
        """Let go of the engine."""
        await self._pulls.close()
        await self._link.close()

    # --- one run ------------------------------------------------------------------------------------------------

    async def prepare(self, image: str, folder: RunFolder) -> None:
        """Return when a run can begin: its image is there, and its folder is its user's."""
        until = time.monotonic() + _PATIENCE
        while True:
            outages = self._link.outages
            try:
                await self._pulls.have(image)
                break
            except RefusedError as error:
                raise NoBoxError(Reason.REFUSED, error.detail) from error
            except UnavailableError as error:
                if self._link.outages == outages:  # it is being fetched
                    until = time.monotonic() + _PATIENCE
                if time.monotonic() > until:
                    raise NoBoxError(Reason.INTERRUPTED, error.detail) from error
            await asyncio.sleep(_AGAIN)
        if os.geteuid() == 0:
            uid, gid = map(int, self._user.split(":"))
            await asyncio.to_thread(_hand_over, folder, uid, gid)

    def enter(
        self,
        folder: RunFolder,
        *,
        image: str,
        words: Sequence[str] | None,
        env: Mapping[str, str],
        place: str | None,
        inputs: Sequence[str],
        outputs: Sequence[Output],
        allocation: Allocation,
    ) -> tuple[list[str], dict[str, str]]:
        """Return what is started in the place of a program, and its environment; without *words* it is the script."""
        config = config_of(
            image=image,
            folder=folder,
            words=words,
            env=env,
            place=place or PLACE,
            shown=read_only(inputs, outputs),
            allocation=allocation,
            user=self._user,
            worker=self._worker,
            section=self._section,
        )
        if words is None:
            folder.script.chmod(0o755)  # its folder is closed to others; the container sees this file alone
        boxed = Boxed(url=self._access.url, timeout=self._access.timeout, name=name_of(folder), config=dict(config))
        folder.write_box(boxed)
        argv = [sys.executable, "-m", "services.scheduler.runner.containers.main", str(folder.path)]
        known = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "HOME") if name in os.environ}
        # It is not told to end: it ends with the program, which is.
        return argv, {**known, MARKER: folder.name, KEEPER: "1"}

    async def leave(self, folder: RunFolder) -> Verdict | None:
        """Remove the container of a run that is over; return why it ended, if the engine knows better than its code."""
        try:
            await self._remove(name_of(folder))
        except ShunterError as error:
            log.warning("container.left", run=folder.name, detail=error.detail)
        return folder.read_fate()

    async def _remove(self, name: str) -> None:
        try:
            await self._link.call(partial(_remove, name))
        except RefusedError as error:
            if status_of(error.__cause__) != GONE:
                raise


def _remove(name: str, client: object) -> None:
    client.remove_container(name, v=True, force=True)  # type: ignore[attr-defined]


def _user(section: ContainerSection) -> str:
    """Return whose the processes are: we must see them and may end them, so that only root has others' run."""
    ours = f"{os.geteuid()}:{os.getegid()}"
    if os.geteuid() != 0:
        if section.user not in {None, ours}:
            raise InvalidError.of("user", f"only root can have somebody else run images; this is {ours}")
        return ours
    return section.user or f"{_NOBODY}:{_NOBODY}"


def _hand_over(folder: RunFolder, uid: int, gid: int) -> None:
    for place in (folder.work, folder.temporary):
        for path in (place, *place.rglob("*")):
            os.chown(path, uid, gid, follow_symlinks=False)
