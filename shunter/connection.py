"""Where the server is and what we show it: arguments, then the environment, then the user's profile."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import yaml
from pydantic import ConfigDict, SecretStr, ValidationError

from contracts.errors import InvalidError
from contracts.model import Model

__all__ = ["DEFAULT_URL", "Connection", "default_logins", "default_profile"]

DEFAULT_URL = "http://127.0.0.1:8800"
"""Where `shunter up` listens unless told otherwise."""

_UNIX = "unix:"
_LOGINS = "logins.json"


class _Profile(Model):
    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str | None = None
    token: SecretStr | None = None
    ca_file: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class Connection:
    """A server, and the token that it knows us by; without one it may take us as a local user."""

    url: str = DEFAULT_URL
    """Also `unix:<path>`, a socket on this machine."""
    token: SecretStr | None = None
    logins: Path | None = None
    """Where a sign-in for this server is kept, if there is one and no token is shown instead."""
    ca_file: Path | None = None
    """Certificates that vouch for the server, where it is not a public authority."""
    certificate: Path | None = None
    """Ours, where the server knows us by one."""
    key: Path | None = None

    @property
    def socket(self) -> Path | None:
        """Return the Unix socket on which the server listens, if it is meant."""
        return Path(self.url.removeprefix(_UNIX)) if self.url.startswith(_UNIX) else None

    @property
    def base_url(self) -> str:
        """Return what paths are joined to."""
        return "http://localhost" if self.socket else self.url

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
        file = default_profile(known) if profile is None else profile
        saved = _read_profile(file)
        chosen = (url or known.get("SHUNTER_URL") or saved.url or DEFAULT_URL).rstrip("/")
        if not chosen.startswith(("http://", "https://", _UNIX)):
            raise InvalidError(f"{chosen!r} is no URL of a server; it begins with http://, https:// or unix:")
        # What is saved is shown to the server it was saved for, not to another one named on the way.
        own = saved if chosen == (saved.url or DEFAULT_URL).rstrip("/") else _Profile()
        ca_file, certificate, key = (_file(name, known, own) for name in ("ca_file", "certificate", "key"))
        found = cls(chosen, ca_file=ca_file, certificate=certificate, key=key)
        shown = token or _read_token(token_file) or known.get("SHUNTER_TOKEN")
        if shown:
            return replace(found, token=SecretStr(shown.strip()))
        logins = file.with_name(_LOGINS)
        return replace(found, logins=logins) if _has_login(logins, chosen) else replace(found, token=own.token)


def default_profile(environ: Mapping[str, str] | None = None) -> Path:
    """Return the place of the user's profile."""
    known = os.environ if environ is None else environ
    base = known.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "shunter" / "config.yaml"


def _file(name: str, environ: Mapping[str, str], profile: _Profile) -> Path | None:
    """Return a file that the environment names, such as `SHUNTER_CA_FILE`, else the profile."""
    said = environ.get(f"SHUNTER_{name.upper()}")
    found: Path | None = Path(said) if said else getattr(profile, name)
    return found.expanduser() if found else None


def _has_login(logins: Path, server: str) -> bool:
    if not logins.exists():
        return False
    from .login.saved import LoginBook

    return LoginBook(logins).get(server) is not None


def default_logins(environ: Mapping[str, str] | None = None) -> Path:
    """Return the place of the user's sign-ins, beside the profile."""
    return default_profile(environ).with_name(_LOGINS)


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
        may_hold = ", ".join(_Profile.model_fields)
        raise InvalidError(f"{file} is no profile; it may hold {may_hold}") from error
    if profile.token and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise InvalidError(f"others can read the token in {file}; run: chmod 600 {file}")
    return profile
