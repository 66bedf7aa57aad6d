"""Slurm by slurmrestd, over a Unix socket or TCP. It takes no arrays from us: a task that waits has no number there."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import httpx
import orjson

from contracts.errors import ShunterError, UnavailableError

from .batch import Batch
from .bodies import job_of, nodes_of, partitions_of, rows_of, told
from .door import Door
from .facts import ConfigFacts
from .nodes import Node
from .rows import Row
from .settings import RestSettings
from .words import is_away, refusal

__all__ = ["RestDoor"]

_AT_ONCE = 8
"""Requests at the same time; slurmrestd is easily overrun."""

_ALONE = ConfigFacts(largest_array=2, has_accounting=True)
"""Its configuration is not told; every job is for itself, and the accounting is asked when it is there."""


class RestDoor(Door):
    """slurmrestd."""

    def __init__(self, settings: RestSettings, *, work: str, timeout: float) -> None:
        self._settings = settings
        self._work = work
        self._is_newer = int(settings.version.rpartition(".")[2]) > 38
        socket = settings.url.removeprefix("unix://") if settings.url.startswith("unix://") else None
        self._client = httpx.AsyncClient(
            base_url="http://slurmrestd" if socket else settings.url.rstrip("/"),
            transport=httpx.AsyncHTTPTransport(uds=socket),
            timeout=timeout,
        )
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def submit(self, batch: Batch) -> str:
        """POST a job."""
        body = job_of(batch, work=self._work, path=self._settings.path, is_newer=self._is_newer)
        answer = await self._ask("POST", "slurm", "job/submit", orjson.dumps(body))
        if not answer.get("job_id"):
            raise refusal(told(answer), "slurmrestd gave no number")
        return str(answer["job_id"])

    async def queue(self) -> list[Row]:
        """GET the jobs of all."""
        return list(rows_of(await self._read("slurm", "jobs")))

    async def comments(self, arrays: Collection[str]) -> Mapping[str, str]:
        """Return none: there are no arrays of ours."""
        return dict.fromkeys(arrays, "")

    async def ended(self, ids: Collection[str]) -> Iterable[Row]:
        """GET them from the accounting, if slurmrestd has it."""
        try:
            answers = await asyncio.gather(*(self._ask("GET", "slurmdb", f"job/{native_id}") for native_id in ids))
        except ShunterError:
            return []
        return [row for answer in answers for row in rows_of(answer)]

    async def warn(self, ids: Collection[str]) -> None:
        """DELETE with a signal."""
        signal = "?signal=SIGTERM&flags=BATCH_JOB" if self._is_newer else "?signal=15"
        await asyncio.gather(*(self._delete(one, signal) for one in ids))

    async def end(self, ids: Collection[str]) -> None:
        """DELETE them."""
        await asyncio.gather(*(self._delete(one) for one in ids))

    async def sweep(self, ids: Collection[str]) -> None:
        """Do nothing: jobs that came this way write no files."""

    async def nodes(self) -> list[Node]:
        """GET the nodes and their partitions."""
        nodes, partitions = await asyncio.gather(self._read("slurm", "nodes"), self._read("slurm", "partitions"))
        return list(nodes_of(nodes, partitions_of(partitions)))

    async def facts(self, *, fresh: bool = False) -> ConfigFacts:  # noqa: ARG002 (they do not change)
        """Return what holds for this way."""
        return _ALONE

    async def close(self) -> None:
        """Close the client."""
        await self._client.aclose()

    async def _delete(self, job: str, signal: str = "") -> None:
        answer = await self._ask("DELETE", "slurm", f"job/{job}{signal}")
        if answer.get("errors") and is_away(told(answer)):
            raise UnavailableError(f"slurmrestd: {told(answer)}", retry_after=5.0)

    async def _read(self, plugin: str, path: str) -> dict[str, Any]:
        answer = await self._ask("GET", plugin, path)
        if answer.get("errors"):
            raise UnavailableError(f"slurmrestd: {told(answer)}", retry_after=5.0)
        return answer

    async def _ask(self, method: str, plugin: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        """Return what it says, errors too; `UnavailableError` if it says nothing that can be read."""
        headers = {"Content-Type": "application/json"} if body else {}
        try:
            headers |= self._credentials()
            async with self._room:
                url = f"/{plugin}/{self._settings.version}/{path}"
                answer = await self._client.request(method, url, content=body, headers=headers)
            found = orjson.loads(answer.content)
        except (httpx.HTTPError, OSError) as error:
            raise UnavailableError(f"slurmrestd does not answer: {error or type(error).__name__}") from error
        except orjson.JSONDecodeError as error:
            raise UnavailableError(f"slurmrestd answers {answer.status_code}: {answer.text[:200]}") from error
        return found if isinstance(found, dict) else {}

    def _credentials(self) -> dict[str, str]:
        """Return who asks; the token is read each time, because it is renewed by others."""
        if self._settings.token is None:
            return {}
        token = self._settings.token.read_text().strip()
        return {"X-SLURM-USER-NAME": self._settings.user or "", "X-SLURM-USER-TOKEN": token}
