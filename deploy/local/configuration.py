"""What the stack writes into its data folder for its services and users: settings, secrets, demo users."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from .applications import write_applications
from .ports import PortPlan
from .servers import TEMPORAL_NAMESPACE

__all__ = ["DEMO_USERS", "Secrets", "config_path", "demo_path", "issuer_key", "write_configuration", "write_private"]

_HOST = "127.0.0.1"
_HEADER = """\
# Written by `shunter up` at each start.
# What must differ is said by the environment, e.g. SHUNTER_GATEWAY__SUBMIT_WAIT=2.
"""

_WORKERS = ["workers", "decode-workers"]
_ENVIRONMENTS = {"cloud": "cloud", "decode-cloud": "cloud"}
"""Projects whose members may take work for machines of their own, and those that say of what sort these are."""

_DECODE_USERS = "decode-users"
"""Whoever is in this project may use the decode dialect."""

DEMO_USERS: dict[str, dict[str, Any]] = {
    "owner": {"projects": {"demo": "member", _DECODE_USERS: "member"}},
    "other": {"projects": {"other": "member", _DECODE_USERS: "member"}},
    "low": {"projects": {"demo": "member"}},
    "none": {"projects": {}},
    "ci": {"projects": {"demo": "member"}},
    "admin": {"projects": {"demo": "admin"}, "roles": ["admin"]},
}
"""The users that `--demo` makes."""


def config_path(data: Path) -> Path:
    """Return where the settings of a stack lie."""
    return data / "shunter.yaml"


def demo_path(data: Path) -> Path:
    """Return where the demo users of a stack lie."""
    return data / "demo.json"


def write_private(path: Path, text: str) -> None:
    """Write a file that only we can read, all of it or nothing."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as sink:  # noqa: PTH123
        sink.write(text)
    draft.replace(path)


class Secrets:
    """Made once for a data folder, then kept: what was signed or encrypted with them stays readable."""

    def __init__(self, data: Path) -> None:
        self._path = data / "secrets.json"
        self._kept: dict[str, str] = json.loads(self._path.read_text()) if self._path.exists() else {}

    def get(self, name: str, size: int = 32) -> str:
        """Return the secret of this name; a new one has *size* random bytes."""
        if name not in self._kept:
            self._keep(name, secrets.token_urlsafe(size))
        return self._kept[name]

    def derive(self, name: str, make: Callable[[], str]) -> str:
        """Return the secret of this name, which is not just any word; it is made once."""
        if name not in self._kept:
            self._keep(name, make())
        return self._kept[name]

    def _keep(self, name: str, value: str) -> None:
        self._kept[name] = value
        write_private(self._path, json.dumps(self._kept, indent=2))


def issuer_key(kept: Secrets) -> str:
    """Return the public key of those who say to NATS what pilots may."""
    seed = _issuer_seed(kept)

    def make() -> str:
        from nkeys import from_seed

        return bytes(from_seed(bytearray(seed.encode())).public_key).decode()

    return kept.derive("nats_issuer", make)


def _issuer_seed(kept: Secrets) -> str:
    def make() -> str:
        from nkeys import PREFIX_BYTE_ACCOUNT, encode_seed

        return bytes(encode_seed(secrets.token_bytes(32), PREFIX_BYTE_ACCOUNT)).decode()

    return kept.derive("nats_issuer_seed", make)


def write_configuration(
    data: Path, plan: PortPlan, *, demo: bool, dialects: Sequence[str] = (), oidc: bool = False
) -> None:
    """Write `shunter.yaml` and, with *demo*, `demo.json`; without it a left-over `demo.json` goes.

    With *oidc* the demo users have accounts at an issuer too.
    """
    from .sign_in import as_demo, as_settings

    kept = Secrets(data)
    users = {name: _credentials(kept, name) for name in DEMO_USERS} if demo else {}
    settings = _settings(data, plan, kept, users)
    if oidc:
        settings["gateway"]["identity"]["issuers"] = as_settings(plan)
    write_private(config_path(data), _HEADER + yaml.safe_dump(settings, sort_keys=False))
    if demo:
        write_applications(data)
        more = {"oidc": as_demo(plan, kept)} if oidc else {}
        write_private(demo_path(data), json.dumps({**_demo(plan, users, dialects), **more}, indent=2) + "\n")
    else:
        demo_path(data).unlink(missing_ok=True)


def _credentials(kept: Secrets, user: str) -> dict[str, str]:
    return {
        "token": kept.get(f"demo_{user}_token"),
        "access_key": kept.get(f"demo_{user}_access_key", 15),
        "secret_key": kept.get(f"demo_{user}_secret_key"),
    }


def _demo(plan: PortPlan, users: dict[str, dict[str, str]], dialects: Sequence[str]) -> dict[str, Any]:
    return {
        "gateway": f"http://{_HOST}:{plan['gateway']}",
        "temporal_ui": f"http://{_HOST}:{plan['temporal ui']}",
        "s3": f"http://{_HOST}:{plan['s3']}",
        "dialects": {name: f"http://{_HOST}:{plan['gateway']}/{name.replace('_', '-')}" for name in dialects},
        "users": users,
    }


def _identity(users: dict[str, dict[str, str]]) -> dict[str, Any]:
    """Say who may come in: on a plain stack whoever sits at the machine, on a demo stack whoever has a token."""
    return {
        "local": not users,
        "users": [
            {
                "subject": name,
                "token_sha256": hashlib.sha256(found["token"].encode()).hexdigest(),
                "projects": DEMO_USERS[name]["projects"],
                "roles": DEMO_USERS[name].get("roles", []),
                "access_key": found["access_key"],
                "secret_key": found["secret_key"],
            }
            for name, found in users.items()
        ],
    }


def _webhooks(*, demo: bool) -> dict[str, Any]:
    """Say where events may be sent: nowhere, until the operator says so; on a demo stack to this machine.

    There the gateway is not in local mode, so that nobody gains anything by having something sent to it.
    """
    if not demo:
        return {"allow": []}
    return {
        "allow": [_HOST, "localhost"],
        "http": True,
        "ports": [],
        "networks": ["127.0.0.0/8", "::1/128"],
    }


def _dialects(*, demo: bool) -> dict[str, Any]:
    """Say what other systems' APIs are to know: on a demo stack anybody may make themselves a user of decode."""
    # A machine of somebody's may take a job; where none is there, or none begins with it, it runs here.
    place = {"backends": ["pull", "local"], "patience": 20}
    return (
        {"decode": {"sign_up": True, "environments": dict.fromkeys(("local", "cloud", "any"), place)}} if demo else {}
    )


def _settings(data: Path, plan: PortPlan, kept: Secrets, users: dict[str, dict[str, str]]) -> dict[str, Any]:
    def listen(name: str) -> dict[str, Any]:
        return {"host": _HOST, "port": plan[name]}

    def database(service: str) -> str:
        return f"sqlite+aiosqlite:///{data / 'db' / service}.db"

    return {
        "data": str(data),
        "nats": {"url": f"nats://{_HOST}:{plan['nats']}", "user": "shunter", "password": kept.get("nats_password")},
        "ticket_key": kept.get("ticket_key"),
        "gateway": {
            "listen": listen("gateway"),
            "submit_wait": 5,
            "temporal_ui": f"http://{_HOST}:{plan['temporal ui']}",
            "identity": _identity(users),
            "database_url": database("gateway"),
            "dialects": _dialects(demo=bool(users)),
        },
        "scheduler": {
            "health": listen("scheduler"),
            "database_url": database("scheduler"),
            "temporal": {
                "address": f"{_HOST}:{plan['temporal']}",
                "namespace": TEMPORAL_NAMESPACE,
                "task_queue": "shunter-workloads",
            },
            # To `pull` goes what names it: without a worker of somebody's it costs nothing.
            "backends": [
                {"name": "local", "kind": "local"},
                {"name": "pull", "kind": "pull", "pull": {"workers": _WORKERS, "environments": _ENVIRONMENTS}},
            ],
            "webhooks": _webhooks(demo=bool(users)),
            "pilots": {"seed": _issuer_seed(kept)},
        },
        "storage": {
            "health": listen("storage"),
            "database_url": database("storage"),
            "s3": {
                "endpoint": f"{_HOST}:{plan['s3']}",
                "access_key": kept.get("s3_access_key", 15),
                "secret_key": kept.get("s3_secret_key"),
                "secure": False,
                "region": "us-east-1",
            },
            "bucket": "shunter",
        },
        "accounting": {"health": listen("accounting"), "database_url": database("accounting")},
        "runner": {"health": listen("runner"), "backend": "local", "name": "runner", "work": str(data / "runner")},
    }
