"""Shows the saved sign-in with each request, and renews it before it is over or when it is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from datetime import timedelta

import httpx

from contracts.errors import UnauthenticatedError, UnavailableError
from contracts.model import now

from .issuer import Issuer
from .saved import LoginBook, SavedLogin

__all__ = ["SavedLoginAuth"]

_BEFORE = timedelta(seconds=30)
"""How long before its end a token is renewed."""


class SavedLoginAuth(httpx.Auth):
    """For both clients."""

    def __init__(self, book: LoginBook, server: str, *, connect: Callable[[], httpx.Client] = httpx.Client) -> None:
        self._book = book
        self._server = server
        self._connect = connect

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Show the token; once more, if it was refused and there is a newer one."""
        token = self._token()
        answer = yield _with(request, token)
        if answer.status_code == 401 and (newer := self._token(refused=token)) != token:
            yield _with(request, newer)

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Do the same; files and the issuer are waited for in a thread."""
        token = await asyncio.to_thread(self._token)
        answer = yield _with(request, token)
        if answer.status_code == 401:
            newer = await asyncio.to_thread(self._token, refused=token)
            if newer != token:
                yield _with(request, newer)

    def _token(self, *, refused: str | None = None) -> str:
        """Return a token that may be good; *refused* is one that is not."""
        login = self._saved()
        if _is_good(login, refused) or not login.refresh_token:
            return login.access_token
        with self._book.locked():
            login = self._saved()  # somebody else may have renewed it meanwhile
            if _is_good(login, refused):
                return login.access_token
            return self._renew(login).access_token

    def _renew(self, login: SavedLogin) -> SavedLogin:
        with self._connect() as http:
            try:
                renewed = Issuer(login.issuer, http).renew(login)
            except UnavailableError:
                if login.expires_at and now() < login.expires_at:
                    return login  # it is good for a little while yet
                raise
        self._book.put(self._server, renewed)
        return renewed

    def _saved(self) -> SavedLogin:
        if login := self._book.get(self._server):
            return login
        raise UnauthenticatedError("you have signed out; run `shunter login`")


def _is_good(login: SavedLogin, refused: str | None) -> bool:
    return login.access_token != refused and (login.expires_at is None or now() + _BEFORE < login.expires_at)


def _with(request: httpx.Request, token: str) -> httpx.Request:
    request.headers["Authorization"] = f"Bearer {token}"
    return request
