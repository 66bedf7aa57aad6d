"""The connection to an engine: its calls wait, so that each is a thread's work, and only so many run at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock
from typing import TypeVar

import docker
import requests
from docker.errors import APIError, DockerException
from docker.tls import TLSConfig

from contracts.errors import RefusedError, ShunterError, UnavailableError

from .settings import EngineAccess

__all__ = ["BUSY", "GONE", "Link", "status_of", "words_of"]

_T = TypeVar("_T")

_SLOW_ONES = 4
"""Images that are fetched at the same time."""

GONE = 404
"""The status of what is not there (any more)."""
BUSY = 409
"""And of what cannot be done as it stands: it does not run, or is being removed."""


class Link:
    """Calls the engine; what goes wrong comes out as one of our errors, in the engine's words."""

    def __init__(self, settings: EngineAccess) -> None:
        self._settings = settings
        self._threads = ThreadPoolExecutor(settings.threads, thread_name_prefix="docker")
        self._patient = ThreadPoolExecutor(_SLOW_ONES, thread_name_prefix="docker-slow")
        """For calls that take minutes, so that they keep no others waiting."""
        self._client: docker.APIClient | None = None
        self._lock = Lock()
        self.outages = 0
        """How often the engine did not answer."""

    async def call(self, ask: Callable[[docker.APIClient], _T], *, slow: bool = False) -> _T:
        """Return what *ask* makes of the engine."""
        try:
            with _translated(self._settings.url):
                return await self.plain(ask, slow=slow)
        except UnavailableError as error:
            self.outages += status_of(error.__cause__) is None
            raise

    async def plain(self, ask: Callable[[docker.APIClient], _T], *, slow: bool = False) -> _T:
        """Do the same, but leave the errors as they are."""
        threads = self._patient if slow else self._threads
        return await asyncio.get_running_loop().run_in_executor(threads, lambda: ask(self._connected()))

    async def close(self) -> None:
        """Let go of the connection; a call that hangs is not waited for."""
        for threads in (self._threads, self._patient):
            threads.shutdown(wait=False, cancel_futures=True)
        if self._client is not None:
            self._client.close()

    def _connected(self) -> docker.APIClient:
        with self._lock:
            if self._client is None:
                self._client = docker.APIClient(
                    base_url=self._settings.url,
                    version="auto",
                    timeout=self._settings.timeout,
                    tls=_tls(self._settings),
                    max_pool_size=self._settings.threads + _SLOW_ONES,
                )
            return self._client


def _tls(settings: EngineAccess) -> TLSConfig | bool:
    if settings.tls is None:
        return False
    pair = (str(settings.tls.certificate), str(settings.tls.key))
    return TLSConfig(client_cert=pair, ca_cert=str(settings.tls.ca), verify=True)


@contextmanager
def _translated(url: str) -> Iterator[None]:
    try:
        yield
    except ShunterError:
        raise
    except requests.Timeout as error:
        raise UnavailableError(f"the engine at {url} does not answer in time") from error
    except APIError as error:
        status = status_of(error)
        kind = RefusedError if status is not None and 400 <= status < 500 else UnavailableError
        raise kind(f"the engine says: {words_of(error)}") from error
    except (DockerException, requests.RequestException, OSError) as error:
        raise UnavailableError(f"the engine at {url} cannot be reached: {words_of(error)}") from error


def status_of(error: BaseException | None) -> int | None:
    """Return the HTTP status of an answer that is no."""
    return error.status_code if isinstance(error, APIError) else None


def words_of(error: BaseException) -> str:
    """Return what was said, without the addresses of its routes around it."""
    said = error.explanation if isinstance(error, APIError) else None
    return str(said or _cause(error)).strip()


def _cause(error: BaseException) -> BaseException:
    """Return the error of the system below those of the libraries, if there is one."""
    found = error
    while (below := found.__cause__ or found.__context__) is not None:
        found = below
        if isinstance(found, OSError) and found.errno is not None:
            return found
    return error
