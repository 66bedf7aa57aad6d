"""Sign-ins that are kept: one for each server, in a file that only its user can read."""

from __future__ import annotations

import fcntl
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from contracts.errors import InvalidError
from contracts.model import Model, Timestamp

__all__ = ["LoginBook", "SavedLogin"]


class SavedLogin(Model):
    """What an issuer gave for one server, and what it takes to have it renewed."""

    issuer: str
    client_id: str
    token_endpoint: str
    revocation_endpoint: str | None = None
    resource: str | None = None
    access_token: str
    refresh_token: str | None = None
    expires_at: Timestamp | None = None


class LoginBook:
    """The file. Several commands may use it at once: whoever changes it holds a lock."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, server: str) -> SavedLogin | None:
        """Return the sign-in for a server."""
        found = self._read().get(server)
        try:
            return None if found is None else SavedLogin.model_validate(found, extra="ignore")
        except ValidationError:
            return None  # of another version: one signs in again

    def put(self, server: str, login: SavedLogin | None) -> None:
        """Keep a sign-in; none forgets it. Call with the lock held."""
        known = self._read()
        known.pop(server, None)
        if login:
            known[server] = login.model_dump(mode="json", exclude_none=True)
        draft = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as sink:  # noqa: PTH123
            json.dump(known, sink, indent=2)
        draft.replace(self._path)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep others from changing the file: a refresh token that two have used is worth nothing to either."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._path.with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _read(self) -> dict[str, object]:
        try:
            mode, text = self._path.stat().st_mode, self._path.read_text()
        except OSError:
            return {}
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise InvalidError(f"others can read the tokens in {self._path}; run: chmod 600 {self._path}")
        try:
            known = json.loads(text)
        except ValueError:
            known = None
        if not isinstance(known, dict):
            raise InvalidError(f"{self._path} cannot be read; remove it and run `shunter login`")
        return known
