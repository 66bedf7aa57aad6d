"""The gateway on a Unix socket: whoever may open it is this machine's own user, and nobody else may."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import httpx
import pytest

from services.chassis.settings import NatsSettings
from tests.support.gateway import as_user, run_gateway


def _client(path: Path) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=str(path)), base_url="http://shunter")


async def test_local_mode_works_by_the_socket_and_the_socket_is_its_owners(nats: NatsSettings, tmp_path: Path) -> None:
    path = tmp_path / "gateway.sock"
    async with run_gateway(nats, local=True, socket=path) as (by_port, _), _client(path) as client:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert (await client.get("/v1/whoami")).json()["subject"] == "local"
        assert (await client.get("/v1/whoami", headers=as_user("ada"))).json()["subject"] == "ada"
        behind_a_proxy = await client.get("/v1/whoami", headers={"X-Forwarded-For": "192.0.2.7"})
        assert behind_a_proxy.status_code == 403
        assert (await by_port.get("/v1/whoami")).status_code == 200
    assert not path.exists()


async def test_without_local_mode_the_socket_opens_nothing(nats: NatsSettings, tmp_path: Path) -> None:
    path = tmp_path / "gateway.sock"
    async with run_gateway(nats, local=False, socket=path), _client(path) as client:
        assert (await client.get("/v1/whoami")).status_code == 401


async def test_a_dead_socket_is_replaced_and_what_is_in_use_is_not(nats: NatsSettings, tmp_path: Path) -> None:
    path = tmp_path / "gateway.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    async with run_gateway(nats, local=True, socket=path), _client(path) as client:
        assert (await client.get("/v1/whoami")).status_code == 200
        with pytest.raises(RuntimeError, match="somebody does already"):
            async with run_gateway(nats, socket=path):
                pass
        assert (await client.get("/v1/whoami")).status_code == 200
    path.write_text("a file")
    with pytest.raises(RuntimeError, match="something else"):
        async with run_gateway(nats, socket=path):
            pass
    assert path.read_text() == "a file"


async def test_a_path_that_is_too_long_is_told_of(nats: NatsSettings, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="could not listen"):
        async with run_gateway(nats, socket=tmp_path / ("x" * 120)):
            pass
