"""Logs in with a name and a password, and again whenever that is over."""

from __future__ import annotations

from collections.abc import Generator

import httpx
from pydantic import SecretStr

from shunter.calls.identity import login

__all__ = ["PasswordAuth"]


class PasswordAuth(httpx.Auth):
    """For both clients. Where the password is not taken, requests go without a token and are refused as such."""

    requires_response_body = True

    def __init__(self, base_url: str, username: str, password: SecretStr) -> None:
        self._base_url = base_url
        self._username = username
        self._password = password
        self._token: str | None = None

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Show the token; get another one where there is none yet, or it was refused."""
        fresh = self._token is None
        if fresh:
            yield from self._log_in()
        answer = yield self._with(request)
        if answer.status_code == httpx.codes.UNAUTHORIZED and not fresh:
            yield from self._log_in()
            yield self._with(request)

    def _log_in(self) -> Generator[httpx.Request, httpx.Response, None]:
        call = login(self._username, self._password.get_secret_value())
        with httpx.Client(base_url=self._base_url) as client:
            request = call.to_request(client)
        answer = yield request
        self._token = call.read(answer).token if answer.is_success else None

    def _with(self, request: httpx.Request) -> httpx.Request:
        if self._token is not None:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request
