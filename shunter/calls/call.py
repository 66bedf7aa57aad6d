"""A call of the REST API: how the request is built and how the answer is read, without sending anything."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from contracts.errors import InternalError
from shunter.problems import error_from

__all__ = ["Call", "Params", "params_of", "path_of", "reads"]

T = TypeVar("T")
_M = TypeVar("_M", bound=BaseModel)

Params = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request and the reading of its answer. Both clients send the same ones."""

    method: str
    path: str
    parse: Callable[[httpx.Response], T]
    params: Params = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    """JSON."""
    repeatable: bool = True
    """Whether sending it twice does no more than sending it once."""
    hold: float = 0.0
    """Seconds that the server may take on purpose before it answers."""
    readable: frozenset[int] = frozenset()
    """Statuses that are answers although they are not 2xx."""

    def to_request(self, client: httpx.Client | httpx.AsyncClient) -> httpx.Request:
        """Build the request for the server that *client* talks to."""
        headers = {"Content-Type": "application/json", **self.headers} if self.body is not None else self.headers
        timeout = httpx.Timeout(30.0 + self.hold, connect=5.0)
        return client.build_request(
            self.method, self.path, params=list(self.params), headers=headers, content=self.body, timeout=timeout
        )

    def read(self, response: httpx.Response) -> T:
        """Return what a whole answer says, or raise what the server refuses with."""
        if not response.is_success and response.status_code not in self.readable:
            raise error_from(response.status_code, response.headers, response.content)
        try:
            return self.parse(response)
        except (ValidationError, ValueError) as error:
            raise InternalError(f"{self.method} {self.path}: the answer makes no sense to this client") from error


def reads(kind: type[_M]) -> Callable[[httpx.Response], _M]:
    """Return the reading of one model; fields of newer servers are passed over."""
    return lambda response: kind.model_validate_json(response.content, extra="ignore")


def path_of(*parts: str) -> str:
    """Join parts to a path, each quoted; slashes in a part stay."""
    return "/" + "/".join(quote(part, safe="/") for part in parts)


def params_of(**given: str | float | Iterable[str] | None) -> Params:
    """Return query parameters: none is left out, several values repeat the name."""
    found: list[tuple[str, str]] = []
    for name, value in given.items():
        if isinstance(value, bool):
            found.append((name, "true" if value else "false"))
        elif isinstance(value, str | int | float):
            found.append((name, str(value)))
        elif value is not None:
            found += [(name, item) for item in value]
    return tuple(found)
