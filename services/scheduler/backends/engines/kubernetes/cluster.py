"""The API server: who we are to it, requests, lists by pages, and watches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TypeVar

import aiohttp
import orjson
import structlog
import yaml
from pydantic import BaseModel, ValidationError

from contracts.errors import UnavailableError

from .errors import AnswerError, unavailable
from .kinds import Kind
from .names import FIELD_MANAGER
from .records import Page, Record, Said, Status
from .settings import KubernetesSettings
from .versions import Release

if TYPE_CHECKING:
    from kubernetes_asyncio.client import ApiClient, Configuration

__all__ = ["Cluster", "Happening"]

if find_spec("kubernetes_asyncio") is None:
    raise ImportError("No module named 'kubernetes_asyncio'")

_log = structlog.get_logger(__name__)

R = TypeVar("R", bound=Record)
M = TypeVar("M", bound=BaseModel)
Happening = tuple[str, Any]
"""The type of an event and the object."""
_Query = list[tuple[str, str]]

_APPLY: Final = "application/apply-patch+yaml"
_JSON: Final = "application/json"
_DELETE: Final = {"apiVersion": "v1", "kind": "DeleteOptions"}
_WATCHED: Final = 300
"""Seconds after which the server ends a watch, so that servers behind one address share them."""
_BELIEVED: Final = 600.0
"""Seconds for which a cluster is believed to be of the same release."""
_SILENT: Final = 120.0
"""Seconds without a word, not even a bookmark, after which a watch is taken for dead."""


class Cluster:
    """Speaks with the API server. Its answer no is an `AnswerError`; that there is none is an `UnavailableError`."""

    def __init__(self, settings: KubernetesSettings) -> None:
        self._settings = settings
        self._room = asyncio.Semaphore(settings.at_once)
        self._client: ApiClient | None = None
        self._retired: list[ApiClient] = []
        self._read = 0.0
        self._opening = asyncio.Lock()
        self._release: tuple[Release, float] | None = None

    async def close(self) -> None:
        """Let go of the connections."""
        clients, self._retired = [*self._retired, *([self._client] if self._client else [])], []
        self._client = None
        for client in clients:
            await client.close()

    async def release(self) -> Release:
        """Return which Kubernetes it is; it is asked again now and then, as clusters are upgraded."""
        if self._release is None or monotonic() - self._release[1] > _BELIEVED:
            found = Release.of(_parsed(Said, await self._ask("GET", "/version")))
            for lack in found.lacks if self._release is None or self._release[0] != found else ():
                _log.warning("cluster.lacks", what=lack)
            self._release = found, monotonic()
        return self._release[0]

    async def create(self, kind: Kind, namespace: str | None, manifest: Mapping[str, Any], model: type[M]) -> M:
        """Make an object that is not there; 409 if it is."""
        query = [("fieldManager", FIELD_MANAGER)]
        return _parsed(model, await self._ask("POST", kind.path(namespace), query, manifest))

    async def apply(self, kind: Kind, namespace: str | None, manifest: Mapping[str, Any]) -> None:
        """Have an object be like this, by server-side apply: it is made if it is not there."""
        path = kind.path(namespace, manifest["metadata"]["name"])
        await self._ask("PATCH", path, [("fieldManager", FIELD_MANAGER), ("force", "true")], manifest, content=_APPLY)

    async def get(self, kind: Kind, namespace: str | None, name: str, model: type[R]) -> R:
        """Return an object; 404 if it is not there."""
        return _parsed(model, await self._ask("GET", kind.path(namespace, name)))

    async def delete(self, kind: Kind, namespace: str, name: str, **options: Any) -> None:
        """Delete an object; silent if it is not there, or is another one by now."""
        try:
            await self._ask("DELETE", kind.path(namespace, name), body={**_DELETE, **options})
        except AnswerError as error:
            if error.status.code not in {404, 409}:
                raise

    async def list(
        self, kind: Kind, model: type[R], *, namespace: str | None = None, labels: str = "", fields: str = ""
    ) -> tuple[list[R], str]:
        """Return all objects, and the version at which they were so."""
        query = [*_selecting(labels, fields), ("limit", str(self._settings.page))]
        found: list[R] = []
        after = ""
        while True:
            more = [("continue", after)] if after else []
            try:
                answer = await self._ask("GET", kind.path(namespace), query + more)
            except AnswerError as error:
                if error.status.code != 410 or not after:
                    raise
                # The server has forgotten the list that this was the next page of.
                found, after = [], ""
                continue
            page = _parsed(Page[model], answer)  # type: ignore[valid-type]
            found += page.items
            after = page.metadata.continue_
            if not after:
                return found, page.metadata.resource_version

    @asynccontextmanager
    async def watch(
        self, kind: Kind, version: str, *, namespace: str | None = None, labels: str = ""
    ) -> AsyncIterator[AsyncIterator[Happening]]:
        """Have what happens after a *version* come in, until the server ends it."""
        query = [
            *_selecting(labels, ""),
            ("watch", "true"),
            ("resourceVersion", version),
            ("allowWatchBookmarks", "true"),
            ("timeoutSeconds", str(_WATCHED)),
        ]
        timeout = aiohttp.ClientTimeout(sock_connect=self._settings.timeout, sock_read=_SILENT)
        async with self._response("GET", kind.path(namespace), query, timeout=timeout) as response:
            yield _happenings(response)

    async def _ask(
        self,
        method: str,
        path: str,
        query: _Query | None = None,
        body: Mapping[str, Any] | None = None,
        content: str = _JSON,
    ) -> bytes:
        timeout = aiohttp.ClientTimeout(total=self._settings.timeout)
        async with (
            self._room,
            self._response(method, path, query or [], body, content=content, timeout=timeout) as response,
        ):
            return await response.read()

    @asynccontextmanager
    async def _response(
        self,
        method: str,
        path: str,
        query: _Query,
        body: Mapping[str, Any] | None = None,
        *,
        content: str = _JSON,
        timeout: aiohttp.ClientTimeout,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        try:
            response = await self._send(method, path, query, body, content, timeout)
            if response.status == 401:
                # Tokens are rotated: what we were told at our start may have been replaced.
                response.release()
                self._read = 0.0
                response = await self._send(method, path, query, body, content, timeout)
            try:
                await _check(response, method, path)
                yield response
            finally:
                response.close() if not response.content.at_eof() else response.release()
        except (aiohttp.ClientError, TimeoutError, OSError, ValidationError, orjson.JSONDecodeError) as error:
            raise unavailable(error) from error

    async def _send(
        self,
        method: str,
        path: str,
        query: _Query,
        body: Mapping[str, Any] | None,
        content: str,
        timeout: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        client = await self._known()
        response = await client.call_api(
            path,
            method,
            query_params=query,
            header_params={"Accept": _JSON, "Content-Type": content},
            body=body,
            auth_settings=["BearerToken"],
            _preload_content=False,
            _request_timeout=timeout,
        )
        assert isinstance(response, aiohttp.ClientResponse)
        return response

    async def _known(self) -> ApiClient:
        """Return a client with the credentials of now; the kubeconfig is read again when it was changed."""
        async with self._opening:
            changed = _changed(self._settings.kubeconfig)
            if self._client is None or changed != self._read:
                self._client = self._renewed(await _configuration(self._settings))
                self._read = changed
            return self._client

    def _renewed(self, configuration: Configuration) -> ApiClient:
        """Return a client with these credentials; requests that are under way are not broken off."""
        old = self._client
        if old is not None and _connection(old.configuration) == _connection(configuration):
            old.configuration = configuration
            return old
        if old is not None:
            self._retired.append(old)
        from kubernetes_asyncio.client import ApiClient

        client = ApiClient(configuration)
        client.user_agent = "shunter"
        return client


async def _happenings(response: aiohttp.ClientResponse) -> AsyncIterator[Happening]:
    while line := await response.content.readline():
        event = orjson.loads(line)
        yield event["type"], event["object"]


def _parsed(model: type[M], text: bytes) -> M:
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        raise unavailable(error) from error


def _selecting(labels: str, fields: str) -> _Query:
    return [(key, value) for key, value in (("labelSelector", labels), ("fieldSelector", fields)) if value]


def _changed(kubeconfig: Path | None) -> float:
    try:
        return kubeconfig.stat().st_mtime if kubeconfig else 1.0
    except OSError as error:
        raise UnavailableError(f"the kubeconfig cannot be read: {error.strerror}", retry_after=30.0) from error


def _connection(made: Configuration) -> tuple[object, ...]:
    """Return what a connection is made with; all else is said in each request."""
    return made.host, made.ssl_ca_cert, made.cert_file, made.key_file, made.verify_ssl, made.proxy


async def _configuration(settings: KubernetesSettings) -> Configuration:
    # 100 MB and a second of CPU, so it is loaded by who speaks with a cluster, and not by who only reads settings.
    await asyncio.to_thread(import_module, "kubernetes_asyncio.client")
    from kubernetes_asyncio import config
    from kubernetes_asyncio.client import Configuration

    made = Configuration()
    try:
        if settings.kubeconfig is None:
            config.load_incluster_config(client_configuration=made)  # type: ignore[no-untyped-call]
        else:
            await config.load_kube_config(
                str(settings.kubeconfig), settings.context, client_configuration=made, persist_config=False
            )
    except (config.ConfigException, OSError, yaml.YAMLError) as error:
        # A parser's message quotes the file, which holds credentials.
        reason = str(error) if isinstance(error, config.ConfigException) else type(error).__name__
        raise UnavailableError(f"no credentials for the cluster: {reason}", retry_after=30.0) from error
    return made


async def _check(response: aiohttp.ClientResponse, method: str, path: str) -> None:
    if response.status < 400:
        return
    text = await response.read()
    try:
        status = Status.model_validate_json(text)
    except ValidationError:
        status = Status(message=text.decode(errors="replace")[:200])
    after = response.headers.get("Retry-After", "")
    raise AnswerError(
        method,
        path,
        status.model_copy(update={"code": response.status}),
        float(after) if after.isdecimal() else None,
    )
