"""Requests that are signed with a key pair, for `httpx` and whatever is built on it."""

from __future__ import annotations

from collections.abc import Generator
from hashlib import sha256

import httpx

from contracts.model import now
from contracts.signing import BODY_HEADER, sign

__all__ = ["KeyPairAuth"]


class KeyPairAuth(httpx.Auth):
    """Signs each request: `httpx.Client(base_url=…, auth=KeyPairAuth(access_key, secret_key))`."""

    requires_request_body = True

    def __init__(self, access_key: str, secret_key: str) -> None:
        self._access_key = access_key
        self._secret_key = secret_key

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Sign a request; one that is sent again is signed again."""
        said = request.headers.get(BODY_HEADER)
        headers = sign(
            self._access_key,
            self._secret_key,
            method=request.method,
            host=request.headers["host"],
            target=request.url.raw_path.decode("ascii"),
            body_sha256=said or sha256(request.content).hexdigest(),
            at=now(),
        )
        request.headers.update(headers)
        yield request
