"""The gateway's routes for workers, as one that works far from it calls them."""

from __future__ import annotations

from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from contracts.errors import ErrorCode, NotFoundError, Problem, RefusedError, UnavailableError, error_of
from contracts.leases import Lease, Leases, LeaseStanding, Offer
from contracts.runs import Step

__all__ = ["Gateway", "Held"]

_M = TypeVar("_M", bound=BaseModel)

_PASSING = frozenset({401, 408, 425, 429})
"""Answers that may be others later: a login that ended is renewed by somebody."""

_LOGIN = 15.0
"""Seconds before another try to log in: whoever guesses often is shut out."""


class Held:
    """A lease as the worker keeps it with its task: its number and its token, in the place of a ticket."""

    def __init__(self, number: int, token: str, keep_within: float = 60.0) -> None:
        self.number = number
        self.token = token
        self.keep_within = keep_within

    @property
    def ticket(self) -> str:
        """Return it as one word."""
        return f"{self.number}:{self.keep_within:g}:{self.token}"

    @classmethod
    def read(cls, ticket: str) -> Held:
        """Read it again."""
        number, within, token = ticket.split(":", 2)
        return cls(int(number), token, float(within))


class Gateway:
    """Raises `UnavailableError` for what may pass, and what the gateway refuses with for what will not."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def take(self, backend: str, worker: str, offer: Offer, *, wait: float) -> list[Lease]:
        """Ask for one job; waits *wait* seconds for it."""
        wish = {"backend": backend, "worker": worker, "offer": offer.model_dump(mode="json")}
        found = await self._post("/v1/leases", wish, Leases, params={"wait": f"{wait:g}"}, hold=wait)
        return found.items

    async def report(self, held: Held, steps: list[Step]) -> LeaseStanding:
        """Say what happened; raises `NotFoundError` for a lease that was lost."""
        said = {"steps": [step.model_dump(mode="json", exclude_defaults=True) for step in steps]}
        return await self._post(f"/v1/leases/{held.number}/reports", said, LeaseStanding, held=held)

    async def post(self, held: Held, what: str, body: dict[str, Any], answer: type[_M]) -> _M:
        """Ask for something that belongs to a lease."""
        return await self._post(f"/v1/leases/{held.number}/{what}", body, answer, held=held)

    async def _post(
        self,
        path: str,
        body: dict[str, Any],
        answer: type[_M],
        *,
        held: Held | None = None,
        params: dict[str, str] | None = None,
        hold: float = 0.0,
    ) -> _M:
        headers = {"Shunter-Lease": held.token} if held else {}
        timeout = httpx.Timeout(30.0 + hold, connect=5.0)
        try:
            response = await self._http.post(path, json=body, headers=headers, params=params, timeout=timeout)
        except (httpx.TransportError, AttributeError) as error:
            raise UnavailableError(f"the gateway does not answer: {type(error).__name__}") from error
        if response.is_success:
            return answer.model_validate_json(response.content, extra="ignore")
        raise _error_of(response)


def _error_of(response: httpx.Response) -> Exception:
    status = response.status_code
    try:
        problem = Problem.model_validate_json(response.content, extra="ignore")
    except ValidationError:
        problem = None
    detail = problem.detail if problem else f"the gateway answers {status}"
    if problem and problem.code is ErrorCode.OVER_QUOTA:  # its status is that of whoever comes too often
        return error_of(problem)
    if status >= 500 or status in _PASSING:
        return UnavailableError(detail, retry_after=_LOGIN if status == httpx.codes.UNAUTHORIZED else None)
    if status == 404:
        return NotFoundError(detail)
    return error_of(problem) if problem else RefusedError(detail)
