"""`shunter login` as a user does it: a real issuer, a real gateway, and the command in a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from services.gateway.settings import IdentitySettings
from shunter.asynchronous import AsyncClient
from shunter.client import Client
from shunter.connection import Connection
from tests.support.gateway import run_gateway
from tests.support.issuer import RealIssuer, run_issuer, sign_in
from tests.support.servers import run_nats


class Laptop:
    """Where a user types."""

    def __init__(self, folder: Path, issuer: RealIssuer, url: str) -> None:
        self.issuer = issuer
        self.logins = folder / "config" / "shunter" / "logins.json"
        self.url = url
        self._environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SHUNTER_")},
            "XDG_CONFIG_HOME": str(folder / "config"),
            "SHUNTER_URL": url,
        }

    async def start(self, *words: str) -> asyncio.subprocess.Process:
        """Begin a command."""
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "shunter", *words),
            env=self._environ,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def run(self, *words: str) -> tuple[int | None, str]:
        """Run a command to its end."""
        process = await self.start(*words)
        out, _ = await process.communicate()
        return process.returncode, out.decode()

    async def login(self, name: str) -> str:
        """Sign in, with a browser as the second device; returns what the command says in the end."""
        process = await self.start("login")
        assert process.stdout
        assert process.stderr
        async with asyncio.timeout(60):
            while not (found := re.search(r"http\S+user_code=\S+", (await process.stderr.readline()).decode())):
                assert process.returncode is None
            await asyncio.to_thread(sign_in, found[0], name)
            out = await process.stdout.read()
            await process.wait()
        return out.decode()

    def age(self) -> None:
        """Make what is kept look as if its token had ended."""
        known = json.loads(self.logins.read_text())
        known[self.url]["expires_at"] = "2020-01-01T00:00:00Z"
        self.logins.write_text(json.dumps(known))

    @property
    def connection(self) -> Connection:
        """Return what a program of the user's finds."""
        return Connection.find(self.url, environ={}, profile=self.logins.with_name("config.yaml"))


@pytest_asyncio.fixture
async def laptop(tmp_path: Path) -> AsyncIterator[Laptop]:
    async with run_issuer(tmp_path) as issuer, run_nats(tmp_path) as nats:
        identity = IdentitySettings(local=False, issuers=[issuer.settings()])
        socket = tmp_path / "gateway.sock"
        async with run_gateway(nats, identity=identity, socket=socket):
            yield Laptop(tmp_path, issuer, f"unix:{socket}")


async def test_one_signs_in_once_and_stays_in_until_one_signs_out(laptop: Laptop) -> None:
    assert (await laptop.run("whoami"))[0] == 3
    assert await laptop.login("ada") == "signed in as real:ada\n"
    assert laptop.logins.stat().st_mode & 0o077 == 0
    first = json.loads(laptop.logins.read_text())[laptop.url]

    # Many commands at once find the token ended: one of them has it renewed, and all go on.
    laptop.age()
    found = await asyncio.gather(*(laptop.run("whoami", "--json") for _ in range(4)))
    assert {(code, json.loads(out)["subject"]) for code, out in found} == {(0, "real:ada")}
    second = json.loads(laptop.logins.read_text())[laptop.url]
    assert second["refresh_token"] != first["refresh_token"]

    # Programs use it too, of both kinds.
    laptop.age()
    async with AsyncClient(connection=laptop.connection) as client:
        assert (await client.who_am_i()).subject == "real:ada"
    with Client(connection=laptop.connection) as program:
        assert (await asyncio.to_thread(program.who_am_i)).subject == "real:ada"

    third = json.loads(laptop.logins.read_text())[laptop.url]
    assert (await laptop.run("logout"))[0] == 0
    assert (await laptop.run("whoami"))[0] == 3
    form = {"grant_type": "refresh_token", "refresh_token": third["refresh_token"], "client_id": third["client_id"]}
    assert (await laptop.issuer.post("/token", form))["error"] == "invalid_grant"
