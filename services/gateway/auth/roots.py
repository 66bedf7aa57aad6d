"""The secrets of identity, outside the database: the keys that sign tokens, and those that seal key pairs."""

from __future__ import annotations

import json
import os
import re
import secrets
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from contracts.errors import InternalError
from services.gateway.settings import IdentitySettings

__all__ = ["Secrets", "open_secrets"]

_ROOT = re.compile(r"([0-9]{1,9}):([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Secrets:
    """What the gateway must know and nobody else."""

    roots: dict[int, bytes]
    """Private Ed25519 keys by their number; the highest one signs."""
    seals: tuple[str, ...]
    """The first seals, all open."""

    @property
    def newest(self) -> int:
        """Return the number of the key that signs."""
        return max(self.roots)


def open_secrets(settings: IdentitySettings, data: Path) -> Secrets:
    """Return the secrets of the settings, and for what these leave out those of the file, made once."""
    roots, seals = settings.root_keys, settings.sealing_keys
    if roots and seals:
        return Secrets(_read_roots(roots), tuple(key.get_secret_value() for key in seals))
    kept = _kept(data / "gateway" / "keys.json")
    return Secrets(
        _read_roots(roots) if roots else kept.roots,
        tuple(key.get_secret_value() for key in seals) if seals else kept.seals,
    )


def _read_roots(keys: Sequence[SecretStr]) -> dict[int, bytes]:
    found = {}
    for key in keys:
        if not (parts := _ROOT.fullmatch(key.get_secret_value())):
            raise InternalError("gateway.identity.root_keys: each is <number>:<64 hexadecimal digits>")
        found[int(parts[1])] = bytes.fromhex(parts[2])
    return found


def _kept(path: Path) -> Secrets:
    with suppress(FileExistsError):
        if not path.exists():
            _make(path)
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise InternalError(f"others can read the keys in {path}; run: chmod 600 {path}")
    found = json.loads(path.read_text())
    roots = _read_roots([SecretStr(key) for key in found["root_keys"]])
    return Secrets(roots, tuple(found["sealing_keys"]))


def _make(path: Path) -> None:
    """Make the file with one key of each kind, all of it or nothing; whoever comes second takes what is there."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    made = {"root_keys": [f"1:{secrets.token_hex(32)}"], "sealing_keys": [secrets.token_urlsafe(32)]}
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as sink:
        sink.write(json.dumps(made, indent=2) + "\n")
    try:
        os.link(draft, path)
    finally:
        draft.unlink()
