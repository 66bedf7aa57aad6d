"""Brings inputs and takes outputs home, by presigned URLs: in parallel, resumed, checked."""

from __future__ import annotations

import asyncio
import errno
import random
import shutil
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from . import subjects
from .errors import AwayError, ExpiredError, QuotaError, RefusedError, TroubleError
from .link import Link
from .outputs import Delivery, clean_path
from .wire import Download, Wire, measure
from .words import FrozenInput, OutputFile, Task, as_json, stamp

__all__ = ["Transfer", "command", "open_threads"]

_COMPLETION = 120.0
"""Seconds that storage may take to check a large file."""
_FRESH = 5
"""How often new URLs are asked for; a store that refuses so many refuses what was asked."""
_AT_ONCE = 500
"""URLs of one answer; of thousands, the last would be too old before its turn came."""
_SLOWEST = 15.0

_T = TypeVar("_T")


def open_threads(count: int) -> ThreadPoolExecutor:
    """Return the threads that transfers run in."""
    return ThreadPoolExecutor(count, thread_name_prefix="transfer")


class Transfer:
    """The transfers of one run."""

    def __init__(self, *, link: Link, threads: ThreadPoolExecutor, wire: Wire, task: Task, patience: float) -> None:
        self._link = link
        self._threads = threads
        self._wire = wire
        self._task = task
        self._patience = patience

    # --- inputs -----------------------------------------------------------------------------------------------

    async def fetch(self, inputs: Sequence[FrozenInput], work: Path, parts: Path) -> None:
        """Bring all inputs to the working folder; raises `RefusedError`, naming the one that cannot be had."""
        urls = _Urls(self._link, self._task.ticket, inputs)
        calls = [self._fetch(item, work, parts / f"input-{number}", urls) for number, item in enumerate(inputs)]
        await _together(calls)

    async def _fetch(self, item: FrozenInput, work: Path, draft: Path, urls: _Urls) -> None:
        try:
            target = work / clean_path(item.target)
        except ValueError as error:
            raise RefusedError(f"input {item.target}: {error}") from error
        download = Download(draft)
        await self._patiently(partial(self._try_to_fetch, item, download, urls))
        _put_in_place(draft, target)

    async def _try_to_fetch(self, item: FrozenInput, download: Download, urls: _Urls) -> None:
        url = await urls.of(item)
        what = f"input {item.target}"
        try:
            is_there = await self._in_thread(self._wire.get, url, download, what)
        except ExpiredError:
            urls.forget(item)
            raise
        changed = f"changed: {what} ({item.source}):"
        if not is_there:
            raise RefusedError(f"{changed} the file that was submitted was changed or deleted and is kept no more")
        if download.size < item.size:
            raise AwayError(f"{what}: the store hung up after {download.size} bytes")
        if download.size != item.size or download.digest.hexdigest() != item.sha256:
            raise RefusedError(f"{changed} its checksum is not that of the file that was submitted")

    # --- outputs and logs -------------------------------------------------------------------------------------

    async def deliver(self, deliveries: Sequence[Delivery]) -> tuple[list[OutputFile], list[str]]:
        """Take files home, each for itself; return those that arrived, and why others did not."""
        ends = await _together([self._deliver_or_say_why(delivery) for delivery in deliveries])
        return [end for end in ends if isinstance(end, OutputFile)], [end for end in ends if isinstance(end, str)]

    async def _deliver_or_say_why(self, delivery: Delivery) -> OutputFile | str:
        try:
            size, sha256 = await self._in_thread(measure, delivery.source)
            question = {"ticket": self._task.ticket, "path": delivery.path, "size": size, "sha256": sha256}
            if delivery.to is not None:
                question["to"] = delivery.to
            await self._patiently(partial(self._upload, delivery, question, Counter()))
        except OSError as error:
            return f"{delivery.path}: cannot be read: {error.strerror}"
        except QuotaError as error:
            return f"quota: {delivery.path}: {error}"
        except TroubleError as error:
            return str(error)
        return OutputFile(path=delivery.path, size=size, sha256=sha256, at=delivery.at)

    async def _upload(self, delivery: Delivery, question: dict[str, Any], refusals: Counter[str]) -> None:
        plan = await self._link.ask(subjects.UPLOAD, question)
        try:
            puts = [partial(self._put, delivery, part) for part in plan["parts"]]
            tags = await _together([self._patiently(put, but=(ExpiredError,)) for put in puts])
        except ExpiredError as error:
            # Another try with this URL is no use: the whole upload is opened anew.
            refusals["expired"] += 1
            if refusals["expired"] >= _FRESH:
                raise RefusedError(str(error)) from error
            raise
        done = [{"number": part["number"], "etag": tag} for part, tag in zip(plan["parts"], tags)]
        known = [{name: one[name] for name in ("number", "etag")} for one in plan.get("done") or []]
        parts = sorted([*known, *done], key=lambda part: part["number"])
        await self._link.order(
            subjects.COMPLETE, command(plan["ticket"], parts, self._task.traceparent), within=_COMPLETION
        )

    async def _put(self, delivery: Delivery, part: dict[str, Any]) -> str:
        place = (part["url"], delivery.source, part["offset"], part["size"], delivery.path)
        return await self._in_thread(self._wire.put, *place)

    # --- patience ---------------------------------------------------------------------------------------------

    async def _in_thread(self, call: Callable[..., _T], *words: Any) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(call, *words))

    async def _patiently(self, call: Callable[[], Awaitable[_T]], *, but: tuple[type[AwayError], ...] = ()) -> _T:
        """Try again while nobody is wrong, *but* with such an error; what lasts longer than our patience is raised."""
        until, pause = time.monotonic() + self._patience, 0.2
        while True:
            try:
                return await call()
            except AwayError as error:
                if isinstance(error, but) or time.monotonic() > until:
                    raise
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 (so that not all come at once)
            pause = min(pause * 2, _SLOWEST)


class _Urls:
    """Knows where each input is: asked for many at a time, and again when they are too old."""

    def __init__(self, link: Link, ticket: str, inputs: Sequence[FrozenInput]) -> None:
        self._link = link
        self._ticket = ticket
        self._inputs = inputs
        self._group = {item.target: place // _AT_ONCE for place, item in enumerate(inputs)}
        self._urls: dict[int, dict[str, str]] = {}
        self._asking = asyncio.Lock()
        self._asked: Counter[int] = Counter()

    async def of(self, item: FrozenInput) -> str:
        group = self._group[item.target]
        async with self._asking:
            if group not in self._urls:
                some = self._inputs[group * _AT_ONCE : (group + 1) * _AT_ONCE]
                question = {"ticket": self._ticket, "inputs": as_json(list(some))}
                self._urls[group] = (await self._link.ask(subjects.DOWNLOAD, question))["urls"]
                self._asked[group] += 1
            urls = self._urls[group]
        if item.target not in urls:
            raise RefusedError(f"input {item.target}: storage gives no URL for it")
        return urls[item.target]

    def forget(self, item: FrozenInput) -> None:
        """Have the URL of an input asked for again, and those that came with it."""
        group = self._group[item.target]
        if self._asked[group] >= _FRESH:
            raise RefusedError(f"input {item.target}: the store refuses it")
        self._urls.pop(group, None)


def command(ticket: str, parts: list[dict[str, Any]], traceparent: str | None) -> dict[str, Any]:
    """Return the command that makes a file of what was brought, in its envelope."""
    name = uuid.uuid4().hex
    return {
        "specversion": "1.0",
        "id": name,
        "source": "/services/pilot",
        "type": "org.shunter.upload.complete.v1",
        "subject": "none",
        "time": stamp(time.time()),
        "datacontenttype": "application/json",
        "actor": "service:runner",
        "correlationid": name,
        "traceparent": traceparent or f"00-{uuid.uuid4().hex}-{uuid.uuid4().hex[:16]}-01",
        "data": {"ticket": ticket, "parts": parts},
    }


def _put_in_place(draft: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        draft.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # An engine may have put the working folder on a volume of its own.
        shutil.move(str(draft), str(target))


async def _together(calls: Sequence[Any]) -> list[Any]:
    """Await all; the first that fails ends the others."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
