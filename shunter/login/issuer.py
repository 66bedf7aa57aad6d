"""An OpenID Connect issuer, as far as a command line needs it: sign in on another device, renew, revoke."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import httpx

from contracts.errors import InvalidError, UnauthenticatedError, UnavailableError
from contracts.model import now

from .saved import SavedLogin

__all__ = ["DeviceCode", "Issuer"]

_DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_SLOWER = 5.0
"""Seconds by which the pause grows when we are told that we ask too often, as RFC 8628 says."""

_LONGEST_PAUSE = 60.0
_MOST = 1 << 20
_TIMEOUT = httpx.Timeout(20.0, connect=10.0)

_ENDINGS = {
    "access_denied": "the sign-in was refused",
    "expired_token": "nobody signed in in time; run `shunter login` again",
}


@dataclass(frozen=True, slots=True)
class DeviceCode:
    """What the user is shown, and what we ask with meanwhile."""

    secret: str
    user_code: str
    url: str
    complete_url: str | None
    """The same with the code in it."""
    expires_in: float
    interval: float


class Issuer:
    """Talks to one issuer. Nothing is sent but over HTTPS, or to this very machine, and no redirect is followed."""

    def __init__(
        self,
        url: str,
        http: httpx.Client,
        *,
        sleep: Callable[[float], object] = time.sleep,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url = url
        self._http = http
        self._sleep = sleep
        self._ticks = ticks

    def discover(self) -> Mapping[str, Any]:
        """Return what the issuer says of itself."""
        place = self.url.rstrip("/") + "/.well-known/openid-configuration"
        status, document = self._send("GET", place)
        if status != 200 or document.get("issuer") != self.url:
            raise UnavailableError(f"{self.url} does not answer as an OpenID Connect issuer")
        return document

    def begin(self, document: Mapping[str, Any], form: Mapping[str, str]) -> DeviceCode:
        """Ask for a code that the user confirms elsewhere."""
        place = document.get("device_authorization_endpoint")
        if not isinstance(place, str):
            raise InvalidError(f"{self.url} knows no sign-in on another device")
        status, found = self._send("POST", place, form)
        if status != 200:
            raise UnauthenticatedError(f"{self.url} refuses: {_reason(found)}")
        try:
            return DeviceCode(
                secret=str(found["device_code"]),
                user_code=_shown(found["user_code"]),
                url=_shown(found["verification_uri"]),
                complete_url=_shown(found.get("verification_uri_complete") or "") or None,
                expires_in=float(found.get("expires_in", 600)),
                interval=max(0.0, float(found.get("interval", _SLOWER))),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise UnavailableError(f"{self.url} gives no code") from error

    def start(self, document: Mapping[str, Any], client_id: str, resource: str | None) -> SavedLogin:
        """Return a sign-in that holds no token yet."""
        place = _text(document.get("token_endpoint"))
        if place is None:
            raise UnavailableError(f"{self.url} does not say where it gives tokens")
        return SavedLogin(
            issuer=self.url,
            client_id=client_id,
            token_endpoint=place,
            revocation_endpoint=_text(document.get("revocation_endpoint")),
            resource=resource,
            access_token="",
        )

    def wait(self, login: SavedLogin, code: DeviceCode) -> SavedLogin:
        """Ask until the user has signed in, at the pace that the issuer wants."""
        form = {"grant_type": _DEVICE_GRANT, "device_code": code.secret, "client_id": login.client_id}
        until, pause = self._ticks() + code.expires_in, code.interval
        while self._ticks() + pause < until:
            self._sleep(pause)
            try:
                status, found = self._send("POST", login.token_endpoint, form)
            except UnavailableError:
                pause = min(_LONGEST_PAUSE, pause * 2 or _SLOWER)
                continue
            if status == 200:
                return self.keep(login, found)
            reason = found.get("error")
            if reason == "slow_down":
                pause += _SLOWER
            elif reason != "authorization_pending":
                raise UnauthenticatedError(_ENDINGS.get(str(reason), f"{self.url} refuses: {_reason(found)}"))
        raise UnauthenticatedError(_ENDINGS["expired_token"])

    def renew(self, login: SavedLogin) -> SavedLogin:
        """Return a fresh sign-in for one that is over; raises `UnauthenticatedError` where the issuer has ended it."""
        form = {
            "grant_type": "refresh_token",
            "refresh_token": login.refresh_token or "",
            "client_id": login.client_id,
            **({"resource": login.resource} if login.resource else {}),
        }
        status, found = self._send("POST", login.token_endpoint, form)
        if status in {400, 401}:
            raise UnauthenticatedError("your sign-in has ended; run `shunter login`")
        if status != 200:
            raise UnavailableError(f"{self.url} answered {status}")
        return self.keep(login, found)

    def revoke(self, login: SavedLogin) -> bool:
        """Have the issuer forget a sign-in; says whether it did."""
        token = login.refresh_token or login.access_token
        if not login.revocation_endpoint:
            return False
        status, _ = self._send("POST", login.revocation_endpoint, {"token": token, "client_id": login.client_id})
        return status == 200

    def keep(self, login: SavedLogin, tokens: Mapping[str, Any]) -> SavedLogin:
        """Return *login* with what a token endpoint has answered."""
        access, seconds = _text(tokens.get("access_token")), tokens.get("expires_in")
        if not access or str(tokens.get("token_type", "")).lower() != "bearer":
            raise UnavailableError(f"{self.url} gives no token that can be used")
        until = now() + timedelta(seconds=float(seconds)) if isinstance(seconds, int | float) else None
        refresh = _text(tokens.get("refresh_token")) or login.refresh_token
        return login.model_copy(update={"access_token": access, "refresh_token": refresh, "expires_at": until})

    def _send(self, method: str, url: str, form: Mapping[str, str] | None = None) -> tuple[int, Mapping[str, Any]]:
        _require_safe(url)
        try:
            with self._http.stream(
                method, url, data=form, headers={"Accept": "application/json"}, timeout=_TIMEOUT, follow_redirects=False
            ) as answer:
                raw = b""
                for piece in answer.iter_bytes():
                    raw += piece
                    if len(raw) > _MOST:
                        raise UnavailableError(f"{url} answers with too much")
        except httpx.HTTPError as error:
            raise UnavailableError(f"{url} cannot be reached: {error or type(error).__name__}") from error
        return answer.status_code, _object(raw)


def _object(raw: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _require_safe(url: str) -> None:
    parts = urlsplit(url)
    try:
        here = parts.hostname == "localhost" or ip_address(parts.hostname or "").is_loopback
    except ValueError:
        here = False
    if parts.scheme != "https" and not (parts.scheme == "http" and here):
        raise InvalidError(f"{url[:200]!r} is not safe for a sign-in: it must begin with https://")


def _reason(found: Mapping[str, Any]) -> str:
    return _shown(found.get("error_description") or found.get("error") or "it does not say why")[:200]


def _shown(words: object) -> str:
    """Return words from elsewhere as they may be put on a terminal."""
    return "".join(letter for letter in str(words) if letter.isprintable())


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
