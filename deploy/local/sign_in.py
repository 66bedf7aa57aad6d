"""The demo users at the issuer of a demo stack: their accounts, how the gateway trusts them, how one gets a token."""

from __future__ import annotations

from typing import Any

from .configuration import DEMO_USERS, Secrets
from .issuer import AUDIENCE, CLIENT, Account
from .ports import ISSUER, PortPlan

__all__ = ["accounts", "as_demo", "as_settings"]

_ROLE = "shunter-role:"
"""Begins the groups that stand for roles of the site."""


def _url(plan: PortPlan) -> str:
    return f"http://127.0.0.1:{plan[ISSUER]}"


def accounts(kept: Secrets) -> dict[str, Account]:
    """Return the demo users as the issuer knows them; their groups say where they belong."""
    return {name: Account(kept.get(f"demo_{name}_password"), {"groups": _groups(name)}) for name in DEMO_USERS}


def _groups(name: str) -> list[str]:
    user = DEMO_USERS[name]
    projects = [f"{project}:{level}" for project, level in user["projects"].items()]
    return [*projects, *(f"{_ROLE}{role}" for role in user.get("roles", []))]


def as_settings(plan: PortPlan) -> list[dict[str, Any]]:
    """Return the issuers that the gateway trusts: a user is the same one by whatever way they come in."""
    roles = {"claim": "groups", "match": f"{_ROLE}(?P<role>.+)", "roles": {"admin": "admin", "auditor": "auditor"}}
    projects = {"claim": "groups", "match": f"(?!{_ROLE})(?P<project>[^:]+):(?P<level>.+)"}
    return [
        {
            "name": "demo",
            "issuer": _url(plan),
            "audiences": [AUDIENCE],
            "claims": {"prefix": "", "rules": [projects, roles]},
            "login": {"client_id": CLIENT},
        }
    ]


def as_demo(plan: PortPlan, kept: Secrets) -> dict[str, Any]:
    """Return what `demo.json` says of it."""
    url = _url(plan)
    return {
        "issuer": url,
        "audience": AUDIENCE,
        "client_id": CLIENT,
        "token_endpoint": f"{url}/token",
        "accounts": {name: _account(name, account, url) for name, account in accounts(kept).items()},
    }


def _account(name: str, account: Account, url: str) -> dict[str, str]:
    return {
        "login": name,
        "password": account.secret,
        "grant_type": "client_credentials",
        "client_id": name,
        "client_secret": account.secret,
        "command": f"curl -s {url}/token -u {name}:{account.secret} -d grant_type=client_credentials",
    }
