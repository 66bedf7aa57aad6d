"""Slurm by slurmrestd, over a Unix socket or TCP. It takes no arrays from us: a task that waits has no number there."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from contextlib import suppress
from typing import Any

import httpx
import orjson

from contracts.errors import ShunterError, UnavailableError

from .batch import Batch
from .bodies import job_of, nodes_of, number_of_job, partitions_of, rows_of, told
from .door import Door
from .facts import ConfigFacts
from .identity import number_of
from .nodes import Node
from .rows import Detail, Row
from .settings import RestSettings
from .tokens import has_run_out
from .versions import choose_version, number_of_version, offered_versions
from .words import is_away, refusal

__all__ = ["RestDoor"]

_AT_ONCE = 8
"""Requests at the same time; slurmrestd is easily overrun."""

_OLDER = 38
"""The last version that takes signals by their numbers, and sends them to all that runs."""

_PROOF = "X-SLURM-USER-TOKEN"

_ALONE = ConfigFacts(largest_array=2, has_accounting=True)
"""Its configuration is not told; every job is for itself, and the accounting is asked when it is there."""


class RestDoor(Door):
    """slurmrestd."""

    def __init__(
        self, settings: RestSettings, *, work: str, timeout: float, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._settings = settings
        self._work = work
        self._timeout = timeout
        self._wanted = number_of_version(settings.version) if settings.version else None
        self._version = self._wanted
        self._choosing = asyncio.Lock()
        socket = settings.url.removeprefix("unix://") if settings.url.startswith("unix://") else None
        self._client = httpx.AsyncClient(
            base_url="http://slurmrestd" if socket else settings.url.rstrip("/"),
            transport=transport or httpx.AsyncHTTPTransport(uds=socket),
            timeout=timeout,
        )
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def submit(self, batch: Batch) -> str:
        """POST a job."""
        body = job_of(batch, work=self._work, path=self._settings.path, version=await self._spoken())
        answer = await self._ask("POST", "slurm", "job/submit", orjson.dumps(body))
        number = number_of_job(answer)
        if not number:
            raise refusal(told(answer), "slurmrestd gave no number")
        return number

    async def queue(self) -> list[Row]:
        """GET the jobs of all."""
        return list(rows_of(await self._list("jobs")))

    async def details(self, numbers: Collection[str]) -> Iterable[Detail]:
        """GET the jobs of all once more, and leave out the others."""
        rows = await self.queue()
        return [Detail(row.job, row.submitted, row.name, row.comment) for row in rows if row.job in numbers]

    async def ended(self, numbers: Collection[str]) -> Iterable[Row]:
        """GET them from the accounting, if slurmrestd has it."""
        try:
            answers = await asyncio.gather(*(self._ask("GET", "slurmdb", f"job/{number}") for number in numbers))
        except ShunterError:
            return []
        return [row for answer in answers for row in rows_of(answer)]

    async def warn(self, ids: Collection[str]) -> None:
        """DELETE with a signal."""
        signal = "?signal=SIGTERM&flags=BATCH_JOB" if await self._spoken() > _OLDER else "?signal=15"
        await asyncio.gather(*(self._delete(number_of(one), signal) for one in ids))

    async def end(self, ids: Collection[str]) -> None:
        """DELETE them."""
        await asyncio.gather(*(self._delete(number_of(one)) for one in ids))

    async def sweep(self, numbers: Collection[str]) -> None:
        """Do nothing: jobs that came this way write no files."""

    async def nodes(self) -> list[Node]:
        """GET the nodes and their partitions."""
        nodes, partitions = await asyncio.gather(self._list("nodes"), self._list("partitions"))
        return list(nodes_of(nodes, partitions_of(partitions)))

    async def facts(self, *, fresh: bool = False) -> ConfigFacts:  # noqa: ARG002 (nothing is asked)
        """Return what holds for this way."""
        return _ALONE

    async def close(self) -> None:
        """Close the client."""
        await self._client.aclose()

    async def _delete(self, job: str, signal: str = "") -> None:
        answer = await self._ask("DELETE", "slurm", f"job/{job}{signal}")
        if answer.get("errors") and is_away(told(answer)):
            raise UnavailableError(f"slurmrestd: {told(answer)}", retry_after=5.0)

    async def _list(self, what: str) -> dict[str, Any]:
        """Return a list of all; one that is not whole is none."""
        answer = await self._ask("GET", "slurm", what)
        if answer.get("errors") or not isinstance(answer.get(what), list):
            raise UnavailableError(f"slurmrestd: {told(answer) or f'it told no {what}'}", retry_after=5.0)
        return answer

    async def _spoken(self) -> int:
        """Return the version that is spoken; the server is asked which it has, again if it comes back as another."""
        async with self._choosing:
            if self._version is None:
                answer = await self._send("GET", "/openapi/v3")
                self._version = choose_version(offered_versions(_read(answer)))
            return self._version

    async def _ask(self, method: str, plugin: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        """Return what it says, errors too; `UnavailableError` if it says nothing that can be read."""
        version = await self._spoken()
        answer = await self._send(method, f"/{plugin}/v0.0.{version}/{path}", body)
        if plugin == "slurm" and answer.status_code == httpx.codes.NOT_FOUND:
            self._version = self._wanted
        found = _read(answer)
        if found.get("errors") and has_run_out(answer.request.headers.get(_PROOF, "")):
            raise UnavailableError(f"slurmrestd: our token has run out ({told(found)})", retry_after=10.0)
        return found

    async def _send(self, method: str, url: str, body: bytes | None = None) -> httpx.Response:
        headers = self._credentials() | ({"Content-Type": "application/json"} if body else {})
        try:
            async with self._room:
                return await self._client.request(method, url, content=body, headers=headers)
        except httpx.TimeoutException as error:
            raise UnavailableError(f"slurmrestd said nothing for {self._timeout:g} s", retry_after=10.0) from error
        except (httpx.HTTPError, OSError) as error:
            raise UnavailableError(f"slurmrestd does not answer: {error or type(error).__name__}") from error

    def _credentials(self) -> dict[str, str]:
        """Return who asks; the token is read each time, because it is renewed by others."""
        if self._settings.token is None:
            return {}
        try:
            token = self._settings.token.read_text().strip()
        except OSError as error:
            raise UnavailableError(f"the token of slurmrestd cannot be read: {error}", retry_after=10.0) from error
        return {"X-SLURM-USER-NAME": self._settings.user or "", _PROOF: token}


def _read(answer: httpx.Response) -> dict[str, Any]:
    """Read an answer. A failure is one of Slurm's only if it says so; a proxy may have its own."""
    if answer.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
        raise UnavailableError(f"slurmrestd does not take our token ({answer.status_code})", retry_after=10.0)
    with suppress(orjson.JSONDecodeError):
        found = orjson.loads(answer.content)
        if isinstance(found, dict) and (answer.is_success or found.get("errors")):
            return found
    raise UnavailableError(f"slurmrestd answers {answer.status_code}: {answer.text[:200]}", retry_after=5.0)
