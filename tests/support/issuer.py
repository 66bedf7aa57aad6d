"""A real OpenID Connect issuer for tests: real tokens over HTTP, its keys changed and its process stopped at will."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx

from deploy.local import servers
from deploy.local.issuer import AUDIENCE, CLIENT, Account, issuer_server, make_key
from services.gateway.auth.oidc.settings import IssuerSettings
from tests.support.servers import free_ports

__all__ = ["ACCOUNTS", "RealIssuer", "run_issuer", "sign_in"]

ACCOUNTS = {
    "ada": Account(
        "ada-secret-of-thirty-two-characters",
        {
            "email": "ada@example.org",
            "eduperson_entitlement": [
                "urn:mace:egi.eu:group:vision:role=member#aai.egi.eu",
                "urn:mace:egi.eu:group:climate:models:role=admin#aai.egi.eu",
            ],
            "realm_access": {"roles": ["access:vision:admin", "offline_access"]},
            "groups": ["sound", "lab:admin"],
            "cognito:groups": ["aquarium"],
        },
    ),
    "bob": Account("bob-secret-of-thirty-two-characters", {"email": "bob@example.org"}),
}
"""Her claims are as those of EGI Check-in, Keycloak, Cognito and plain groups at once; his say nothing."""


class RealIssuer:
    """The issuer's process."""

    def __init__(self, folder: Path, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.keys = [make_key("k1")]
        self.lifetime = 600
        self._folder = folder
        self._port = port
        self._running: tuple[servers.ServerSpec, asyncio.subprocess.Process] | None = None

    async def start(self) -> None:
        """Begin to serve, with the keys as they are now."""
        spec = issuer_server(
            self._folder / "issuer", port=self._port, accounts=ACCOUNTS, keys=self.keys, lifetime=self.lifetime
        )
        self._running = spec, await servers.start(spec, self._folder / "issuer.log")

    async def stop(self) -> None:
        """Be away."""
        if self._running:
            spec, process = self._running
            self._running = None
            await servers.stop(spec, process)

    async def rotate(self, *keys: Mapping[str, Any]) -> None:
        """Serve with these keys from now on."""
        await self.stop()
        self.keys = [dict(key) for key in keys]
        await self.start()

    async def token(self, name: str) -> str:
        """Return an access token of somebody's robot."""
        answer = await self.post("/token", {"grant_type": "client_credentials"}, auth=(name, ACCOUNTS[name].secret))
        return str(answer["access_token"])

    async def post(self, path: str, form: Mapping[str, str], **more: Any) -> dict[str, Any]:
        """Send a form and return the JSON that comes back."""
        async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
            answer = await client.post(self.url + path, data=dict(form), **more)
        found: dict[str, Any] = answer.json()
        return found

    def settings(self, **more: Any) -> IssuerSettings:
        """Return how a gateway trusts it."""
        base = {
            "name": "real",
            "issuer": self.url,
            "audiences": [AUDIENCE],
            "login": {"client_id": CLIENT},
            "claims": {"rules": ["egi", "keycloak", "cognito", "groups"]},
        }
        return IssuerSettings.model_validate({**base, **more})


@asynccontextmanager
async def run_issuer(folder: Path) -> AsyncIterator[RealIssuer]:
    """Run the issuer on a port of its own."""
    (port,) = free_ports(1)
    issuer = RealIssuer(folder, port)
    await issuer.start()
    try:
        yield issuer
    finally:
        await issuer.stop()


def sign_in(url: str, name: str, secret: str | None = None) -> str:
    """Do what a user does in a browser with the address that their terminal shows; returns the last page."""
    with httpx.Client(trust_env=False, timeout=10, follow_redirects=True) as browser:
        page = browser.get(url)
        for _ in range(6):
            if page.status_code != 200 or "<form" not in page.text:
                break
            fields = dict(re.findall(r'<input[^>]*name="(\w+)"[^>]*value="([^"]*)"', page.text))
            if 'name="login"' in page.text:
                fields |= {"login": name, "password": ACCOUNTS[name].secret if secret is None else secret}
            elif "user_code" in fields:
                fields["confirm"] = "yes"
            action = re.search(r'<form[^>]*action="([^"]+)"', page.text)
            page = browser.post(urljoin(str(page.url), action[1] if action else ""), data=fields)
        return page.text
