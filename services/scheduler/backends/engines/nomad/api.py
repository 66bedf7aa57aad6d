"""Nomad's HTTP API: calls, and what its refusals mean."""

from __future__ import annotations

import ssl
from collections.abc import Generator, Mapping
from typing import Any, TypeVar

import httpx
import orjson
from pydantic import TypeAdapter, ValidationError

from contracts.errors import UnavailableError

from .keeping import Raw
from .settings import NomadSettings, NomadTls

__all__ = ["NomadApi", "Rights"]

T = TypeVar("T")
_WORDS = 500
"""How much of an answer in plain words is passed on."""


class Rights:
    """What the token must allow for a call, in the words of ACL policies."""

    LIST_JOBS = "list-jobs"
    READ_JOB = "read-job"
    SUBMIT_JOB = "submit-job"
    READ_NODE = "node:read"
    NONE = ""


class _Token(httpx.Auth):
    """Reads the token at every call: whoever exchanges the file need not restart us."""

    def __init__(self, settings: NomadSettings) -> None:
        self._file = settings.token_file

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if self._file is not None:
            try:
                request.headers["X-Nomad-Token"] = self._file.read_text("ascii").strip()
            except (OSError, UnicodeError) as error:
                raise UnavailableError(f"the file with Nomad's token cannot be read: {error}") from error
        yield request


class NomadApi:
    """Calls one cluster. Every call raises `UnavailableError` where there is no useful answer."""

    def __init__(self, settings: NomadSettings) -> None:
        self._settings = settings
        self._client = httpx.AsyncClient(
            base_url=settings.address,
            auth=_Token(settings),
            timeout=settings.timeout,
            verify=_context(settings.tls) if settings.address.startswith("https") else False,
            trust_env=False,
            params={"region": settings.region} if settings.region else None,
        )
        name = settings.tls.server_name
        self._extensions = {"sni_hostname": name} if name else {}

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.aclose()

    async def get(self, path: str, shape: TypeAdapter[T], right: str, params: Mapping[str, str] | None = None) -> T:
        """Read something; what the answer lacks is an `UnavailableError` too."""
        response = await self.send("GET", path, right, params=params)
        self.check(response)
        return self.read(response, shape)

    async def rows(self, path: str, right: str, params: Mapping[str, str]) -> list[Raw]:
        """Read a list that is long, row by row as the caller likes."""
        response = await self.send("GET", path, right, params=params)
        self.check(response)
        try:
            found = orjson.loads(response.content) or []
        except orjson.JSONDecodeError as error:
            raise UnavailableError(f"{path} is not answered as Nomad does: {error}") from error
        if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
            raise UnavailableError(f"{path} is not answered as Nomad does: that is no list of rows")
        return found

    async def send(
        self,
        method: str,
        path: str,
        right: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
    ) -> httpx.Response:
        """Send a request; only that nobody answered, or that the token is not enough, is an error here."""
        try:
            response = await self._client.request(
                method,
                path,
                params=params,
                content=None if body is None else orjson.dumps(body),
                headers={} if body is None else {"Content-Type": "application/json"},
                extensions=self._extensions,
            )
        except httpx.HTTPError as error:
            said = str(error) or type(error).__name__
            raise UnavailableError(f"Nomad at {self._settings.address} does not answer: {said}") from error
        if response.status_code in {401, 403}:
            raise UnavailableError(_lacking(response, right, params), retry_after=60.0)
        return response

    def check(self, response: httpx.Response) -> None:
        """Raise if it is not a good answer."""
        if not response.is_success:
            raise UnavailableError(f"Nomad says {response.status_code}: {_plain(response)}")

    def read(self, response: httpx.Response, shape: TypeAdapter[T]) -> T:
        """Return what a good answer says."""
        try:
            return shape.validate_json(response.content)
        except ValidationError as error:
            where = response.request.url.path
            raise UnavailableError(f"{where} is not answered as Nomad does: {error.error_count()} errors") from error


def _plain(response: httpx.Response) -> str:
    return response.text.strip()[:_WORDS]


def _lacking(response: httpx.Response, right: str, params: Mapping[str, str] | None) -> str:
    where = f" in namespace {params['namespace']!r}" if params and "namespace" in params else ""
    needs = f"; this needs {right}{where}" if right else ""
    return f"Nomad refuses our token: {_plain(response)}{needs}"


def _context(tls: NomadTls) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=tls.ca_file)
    if tls.cert_file is not None:
        context.load_cert_chain(tls.cert_file, tls.key_file)
    return context
