"""Where the server is and what we show it: arguments, then the environment, then the user's profile."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import ConfigDict, SecretStr, ValidationError

from contracts.errors import InvalidError
from contracts.model import Model

__all__ = ["DEFAULT_URL", "Connection", "default_profile"]

DEFAULT_URL = "http://127.0.0.1:8800"
"""Where `shunter up` listens unless told otherwise."""


class _Profile(Model):
    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str | None = None
    token: SecretStr | None = None


@dataclass(frozen=True, slots=True)
class Connection:
    """A server, and the token that it knows us by; without one it may take us as a local user."""

    url: str = DEFAULT_URL
    token: SecretStr | None = None

    @classmethod
    def find(
        cls,
        url: str | None = None,
        token: str | None = None,
        *,
        token_file: Path | None = None,
        environ: Mapping[str, str] | None = None,
        profile: Path | None = None,
    ) -> Connection:
        """Return the connection that arguments, `SHUNTER_URL` and `SHUNTER_TOKEN`, and the profile make together."""
        known = os.environ if environ is None else environ
        saved = _read_profile(default_profile(known) if profile is None else profile)
        chosen = (url or known.get("SHUNTER_URL") or saved.url or DEFAULT_URL).rstrip("/")
        if not chosen.startswith(("http://", "https://")):
            raise InvalidError(f"{chosen!r} is no URL of a server; it begins with http:// or https://")
        shown = token or _read_token(token_file) or known.get("SHUNTER_TOKEN")
        if shown:
            return cls(chosen, SecretStr(shown.strip()))
        # The saved token is shown to the server it was saved for, not to another one named on the way.
        return cls(chosen, saved.token if chosen == (saved.url or DEFAULT_URL).rstrip("/") else None)


def default_profile(environ: Mapping[str, str] | None = None) -> Path:
    """Return the place of the user's profile."""
    known = os.environ if environ is None else environ
    base = known.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "shunter" / "config.yaml"


def _read_token(file: Path | None) -> str | None:
    if file is None:
        return None
    try:
        return file.read_text().strip() or None
    except OSError as error:
        raise InvalidError(f"the token file {file} cannot be read: {error.strerror}") from error


def _read_profile(file: Path) -> _Profile:
    try:
        text, mode = file.read_text(), file.stat().st_mode
    except OSError:
        return _Profile()
    try:
        profile = _Profile.model_validate(yaml.safe_load(text) or {})
    except (yaml.YAMLError, ValidationError) as error:
        raise InvalidError(f"{file} is no profile; it may hold `url` and `token`") from error
    if profile.token and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise InvalidError(f"others can read the token in {file}; run: chmod 600 {file}")
    return profile
