"""Speaks with the API of a Ray cluster's jobs, and says its errors in our words."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Generator
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
from pydantic import TypeAdapter, ValidationError

from contracts.errors import RefusedError, ShunterError, UnavailableError

from .answers import DEMANDS, JOBS, NODES, STATUS, ClusterStatus, RayDemand, RayJob, RayNode
from .settings import RaySettings

__all__ = ["RayClient"]

_T = TypeVar("_T")

_RELAYED = re.compile(r"Request failed with status code (\d{3}): ")
"""The head passes on what the agent of its node answered; its own status is 500 then."""
_RUNNER = "_ray_internal_job_actor_"
"""Ray calls the process that runs a job by this and the name of the job."""
_SAID = 500
"""Characters of an answer that are repeated to people: its end, where Python's tracebacks say what was wrong."""


class RayClient:
    """Keeps the connections. Every call raises `UnavailableError` when the cluster does not answer."""

    def __init__(self, settings: RaySettings) -> None:
        self._http = httpx.AsyncClient(
            base_url=str(settings.address).rstrip("/"),
            auth=_Token(settings.token_file) if settings.token_file else None,
            timeout=httpx.Timeout(settings.timeout, connect=min(5.0, settings.timeout), pool=None),
            limits=httpx.Limits(max_connections=settings.at_once, max_keepalive_connections=settings.at_once),
            verify=_trust(settings),
            trust_env=False,
        )
        self._turn = asyncio.Semaphore(settings.at_once)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._http.aclose()

    async def version(self) -> str:
        """Return the version of Ray."""
        answer = self._good(await self._ask("GET", "/api/version"))
        return str(answer.json().get("ray_version", ""))

    async def submit(self, job: dict[str, Any]) -> ShunterError | None:
        """Start a job under a name of ours; returns what is wrong, which may be that the name is taken."""
        answer = await self._ask("POST", "/api/jobs/", json=job)
        return None if answer.is_success else _error(answer)

    async def has(self, name: str) -> bool:
        """Say whether there is a job of that name."""
        answer = await self._ask("GET", _path(name))
        if answer.status_code == HTTPStatus.NOT_FOUND:
            return False
        self._good(answer)
        return True

    async def jobs(self) -> tuple[list[RayJob], int]:
        """Return all jobs, in one call, and how many bytes that took."""
        answer = self._good(await self._ask("GET", "/api/jobs/"))
        return _read(JOBS, answer), len(answer.content)

    async def stop(self, name: str) -> None:
        """Have a job end; silent about one that is gone."""
        await self._do("POST", f"{_path(name)}/stop")

    async def delete(self, name: str) -> None:
        """Have Ray forget a job that has ended; silent about one that is gone."""
        await self._do("DELETE", _path(name))

    async def nodes(self) -> list[RayNode]:
        """Return the nodes that are alive."""
        answer = await self._state("nodes", state="ALIVE")
        return _read(NODES, answer).rows

    async def demands(self) -> dict[str, RayDemand]:
        """Return what waiting jobs wait for, by the name of the job."""
        answer = await self._state("actors", class_name="JobSupervisor", state="PENDING_CREATION")
        return {demand.name.removeprefix(_RUNNER): demand for demand in _read(DEMANDS, answer).rows}

    async def status(self) -> ClusterStatus:
        """Return the last report of the autoscaler; empty before its first one."""
        answer = self._good(await self._ask("GET", "/api/cluster_status"))
        return _read(STATUS, answer).data.status or ClusterStatus()

    async def _state(self, what: str, **filters: str) -> httpx.Response:
        params = {
            "limit": "10000",
            "detail": "1",
            "filter_keys": list(filters),
            "filter_predicates": ["="] * len(filters),
            "filter_values": list(filters.values()),
        }
        return self._good(await self._ask("GET", f"/api/v0/{what}", params=params))

    async def _do(self, method: str, path: str) -> None:
        answer = await self._ask(method, path)
        if answer.status_code != HTTPStatus.NOT_FOUND:
            self._good(answer)

    async def _ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        try:
            async with self._turn:
                answer = await self._http.request(method, path, **more)
        except httpx.HTTPError as error:
            raise UnavailableError(f"Ray does not answer: {error or type(error).__name__}") from error
        if answer.status_code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            raise UnavailableError(f"Ray does not let us in ({answer.status_code}): see ray.token_file")
        return answer

    @staticmethod
    def _good(answer: httpx.Response) -> httpx.Response:
        if not answer.is_success:
            raise UnavailableError(f"Ray answers {answer.status_code}: {_end_of(answer)}")
        return answer


class _Token(httpx.Auth):
    """Shows the token of a file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        try:
            request.headers["Authorization"] = f"Bearer {self._file.read_text(encoding='ascii').strip()}"
        except (OSError, UnicodeError) as error:
            raise UnavailableError(f"the token of Ray cannot be read: {error}") from error
        yield request


def _trust(settings: RaySettings) -> ssl.SSLContext | bool:
    if settings.address.scheme != "https":
        return True
    context = ssl.create_default_context(cafile=settings.ca_file)
    if settings.certificate:
        context.load_cert_chain(settings.certificate, settings.key)
    return context


def _path(name: str) -> str:
    return f"/api/jobs/{quote(name, safe='')}"


def _error(answer: httpx.Response) -> ShunterError:
    """Tell what Ray will never take from a bad day."""
    relayed = _RELAYED.search(answer.text)
    status = int(relayed[1]) if relayed else answer.status_code
    kind = RefusedError if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR else UnavailableError
    return kind(f"Ray answers {status}: {_end_of(answer)}")


def _end_of(answer: httpx.Response) -> str:
    return answer.text.strip().rstrip(".").strip()[-_SAID:]


def _read(model: TypeAdapter[_T], answer: httpx.Response) -> _T:
    try:
        return model.validate_json(answer.content)
    except ValidationError as error:
        raise UnavailableError(f"what answers is not Ray as we know it: {error.errors()[0]['msg']}") from error
