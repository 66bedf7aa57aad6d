"""Making a token weaker, far from any server: it takes the token and the site's public key."""

from __future__ import annotations

import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from contracts.caveats import caveats_of
from contracts.errors import InvalidError
from contracts.identity import RootKey, RootKeys, TokenScopes

from .transfers.tickets import default_cache

__all__ = ["KeyBook", "key_from", "narrow"]


class KeyBook:
    """The public keys of the servers that this user has seen; no secrets."""

    def __init__(self, folder: Path | None = None) -> None:
        self._path = (folder or default_cache()) / "token-keys.json"

    def keep(self, url: str, keys: RootKeys) -> None:
        """Remember the keys of a server."""
        kept = {**self._read(), url: keys.model_dump(mode="json")}
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        draft.write_text(json.dumps(kept, indent=2))
        draft.replace(self._path)

    def find(self, url: str) -> RootKeys:
        """Return the keys of a server."""
        try:
            return RootKeys.model_validate(self._read()[url], extra="ignore")
        except (KeyError, ValidationError):
            raise InvalidError(
                f"the public key of {url} is not known here; run `shunter token keys` once, or say --public-key"
            ) from None

    def _read(self) -> dict[str, Any]:
        try:
            found = json.loads(self._path.read_text())
        except (OSError, json.JSONDecodeError):
            return {}
        return found if isinstance(found, dict) else {}


def key_from(text: str) -> RootKeys:
    """Read a public key: hexadecimal, with or without `ed25519/` before it."""
    digits = text.strip().removeprefix("ed25519/")
    if len(digits) != 64 or not all(digit in "0123456789abcdef" for digit in digits):
        raise InvalidError("--public-key: must be 64 hexadecimal digits")
    return RootKeys(keys=[RootKey(id=0, public_key=digits)])


def narrow(token: str, keys: RootKeys, scopes: TokenScopes, until: datetime | None = None) -> str:
    """Return a token that may do less. Nobody is asked, and what was taken away cannot be given back."""
    import biscuit_auth

    library: Any = biscuit_auth  # its stubs know an older signature
    source, values = caveats_of(scopes, until)
    if not source:
        raise InvalidError("say what the token is to be narrowed to")
    for key in keys.keys:
        public = library.PublicKey.from_bytes(bytes.fromhex(key.public_key), library.Algorithm.Ed25519)
        try:
            whole = library.Biscuit.from_base64(token.strip(), public)
        except library.BiscuitValidationError:
            continue
        return str(whole.append(library.BlockBuilder(source, values)).to_base64())
    raise InvalidError("this is no token of that site, or it was signed with a key that is not known here")
