"""The gateway ends TLS itself, and knows users by their certificates: real handshakes with real certificates."""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
import yaml

from contracts.principals import Level
from services.chassis.settings import NatsSettings, Tls
from services.gateway.settings import CertificateSettings, IdentitySettings, StaticUser
from tests.support.certificates import Authority, Pair
from tests.support.chassis import until
from tests.support.gateway import run_gateway
from tests.support.servers import free_ports

Connect = Callable[[Pair | None], httpx.AsyncClient]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "authority")


@asynccontextmanager
async def _gateway(
    nats: NatsSettings, authority: Authority, wanted: str = "optional", **certificates: object
) -> AsyncIterator[Connect]:
    """Run a gateway with TLS; what is yielded connects to it with a certificate or without."""
    ada = StaticUser(subject="ada", projects={"vision": Level.MEMBER})
    identity = IdentitySettings(local=False, users=[ada], certificates=CertificateSettings.model_validate(certificates))
    certificate, key = authority.server()
    settings = {"certificate": certificate, "key": key, "client_ca": authority.file, "client_certificates": wanted}
    async with run_gateway(nats, identity=identity, tls=Tls.model_validate(settings)) as (_, process):
        url = f"https://127.0.0.1:{process.settings.listen.port}"

        def connect(pair: Pair | None = None) -> httpx.AsyncClient:
            return httpx.AsyncClient(base_url=url, verify=_trusting(authority, pair), trust_env=False)

        yield connect


def _trusting(authority: Authority, pair: Pair | None = None) -> ssl.SSLContext:
    trust = ssl.create_default_context(cafile=authority.file)
    if pair:
        trust.load_cert_chain(*pair)
    return trust


async def test_a_certificate_names_its_user(nats: NatsSettings, authority: Authority) -> None:
    async with _gateway(nats, authority) as connect:
        async with connect(authority.client(cn="ada")) as client:
            for _ in range(2):
                me = (await client.get("/v1/whoami")).json()
                assert (me["subject"], me["issuer"], me["projects"]) == ("ada", "certificate", {"vision": "member"})
            # Who shows a token besides is whom the token names, or nobody.
            assert (await client.get("/v1/whoami", headers={"Authorization": "Bearer x"})).status_code == 401
        async with connect(authority.client(cn="bob")) as client:
            assert (await client.get("/v1/whoami")).json()["projects"] == {}


async def test_the_name_may_stand_elsewhere_and_be_cut_out(nats: NatsSettings, authority: Authority) -> None:
    pair = authority.client(cn="Ada L.", uid="u42", email="ada@lab.test")
    for settings, subject in (
        ({"user": "uid"}, "u42"),
        ({"user": "email", "prefix": "grid:"}, "grid:ada@lab.test"),
        ({"user": "email", "match": "(?P<user>[a-z]+)@lab[.]test"}, "ada"),
    ):
        async with _gateway(nats, authority, **settings) as connect, connect(pair) as client:
            assert (await client.get("/v1/whoami")).json()["subject"] == subject
    for settings in ({"user": "cn"}, {"match": "(?P<user>[a-z]+)@other[.]test", "user": "email"}):
        async with _gateway(nats, authority, **settings) as connect, connect(pair) as client:
            assert (await client.get("/v1/whoami")).status_code == 401


async def test_only_listed_users_come_in_where_the_site_wants_it(nats: NatsSettings, authority: Authority) -> None:
    async with _gateway(nats, authority, listed_only=True) as connect:
        async with connect(authority.client(cn="ada")) as client:
            assert (await client.get("/v1/whoami")).status_code == 200
        async with connect(authority.client(cn="bob")) as client:
            assert (await client.get("/v1/whoami")).status_code == 403


async def test_a_certificate_of_another_authority_or_an_expired_one_ends_the_handshake(
    nats: NatsSettings, authority: Authority, tmp_path: Path
) -> None:
    other = Authority(tmp_path, "other")
    async with _gateway(nats, authority) as connect:
        for pair in (
            other.client(cn="ada"),
            authority.client(cn="ada", valid_for=timedelta(seconds=-5)),
            authority.server(),
        ):
            async with connect(pair) as client:
                with pytest.raises(httpx.TransportError):
                    await client.get("/v1/whoami")


async def test_without_a_certificate_one_is_nobody_or_not_even_heard(nats: NatsSettings, authority: Authority) -> None:
    async with _gateway(nats, authority) as connect, connect(None) as client:
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/v1/whoami")).status_code == 401
    async with _gateway(nats, authority, "required") as connect, connect(None) as client:
        with pytest.raises(httpx.TransportError):
            await client.get("/healthz")


async def test_old_versions_of_tls_and_plain_http_are_not_spoken(nats: NatsSettings, authority: Authority) -> None:
    async with _gateway(nats, authority) as connect, connect(None) as client:
        answer = await client.get("/healthz")
        assert answer.headers["strict-transport-security"].startswith("max-age=")
        port = client.base_url.port
        newer = _trusting(authority)
        newer.maximum_version = ssl.TLSVersion.TLSv1_2
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=newer)
        writer.close()
        old = _trusting(authority)
        old.set_ciphers("DEFAULT:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLSv1"):
            old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        with pytest.raises(OSError):  # noqa: PT011 (SSLError or ConnectionResetError)
            await asyncio.open_connection("127.0.0.1", port, ssl=old)
        async with httpx.AsyncClient(trust_env=False) as plain:
            with pytest.raises(httpx.TransportError):
                await plain.get(f"http://127.0.0.1:{port}/healthz")


async def test_certificates_that_cannot_be_used_are_told_of_at_the_start(
    nats: NatsSettings, authority: Authority, tmp_path: Path
) -> None:
    certificate, _ = authority.server()
    _, key = authority.server()
    for settings in ({"certificate": certificate, "key": key}, {"certificate": tmp_path / "none", "key": key}):
        with pytest.raises(RuntimeError, match="certificates of the server"):
            async with run_gateway(nats, tls=Tls.model_validate(settings)):
                pass


async def test_the_process_itself_speaks_tls_and_listens_on_its_socket(
    nats: NatsSettings, authority: Authority, tmp_path: Path
) -> None:
    """The tests above run on asyncio's own loop, the process on another."""
    certificate, key = authority.server()
    (port,), path = free_ports(1), tmp_path / "own.sock"
    tls = {"certificate": certificate, "key": key, "client_ca": str(authority.file), "client_certificates": "optional"}
    listen = {"port": port, "tls": tls, "socket": str(path)}
    gateway = {"listen": listen, "identity": {"local": True, "certificates": {}}}
    config = tmp_path / "shunter.yaml"
    config.write_text(yaml.safe_dump({"nats": {"url": nats.url}, "gateway": gateway}))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.gateway.main"),
        env={**os.environ, "SHUNTER_CONFIG": str(config)},
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await until(path.exists, within=20)
        async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=str(path), retries=3)) as client:
            assert (await client.get("http://shunter/v1/whoami")).json()["subject"] == "local"
        trust = _trusting(authority, authority.client(cn="ada"))
        async with httpx.AsyncClient(base_url=f"https://127.0.0.1:{port}", verify=trust, trust_env=False) as client:
            assert (await client.get("/v1/whoami")).json()["subject"] == "ada"
        process.terminate()
        async with asyncio.timeout(20):
            assert await process.wait() == 0
        assert not path.exists()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
