"""One site, four people: two by their site's issuer, a robot with less than its owner has, one by a certificate."""

from __future__ import annotations

import ssl
from pathlib import Path

import httpx

from contracts.identity import RootKeys, TokenScopes
from services.chassis.settings import NatsSettings, Tls
from services.gateway.settings import CertificateSettings, IdentitySettings
from shunter.narrowing import narrow
from tests.support.certificates import Authority
from tests.support.gateway import run_gateway
from tests.support.issuer import run_issuer
from tests.support.scheduler import run_scheduler, scheduler_settings

HELD = {"argv": ["true"], "hold": True}


async def test_each_comes_in_their_own_way_and_sees_their_own(
    tmp_path: Path, nats: NatsSettings, temporal: str
) -> None:
    authority = Authority(tmp_path, "authority")
    certificate, key = authority.server()
    tls = Tls(certificate=certificate, key=key, client_ca=authority.file, client_certificates="optional")
    async with run_issuer(tmp_path / "issuer") as issuer, run_scheduler(scheduler_settings(tmp_path, nats, temporal)):
        identity = IdentitySettings(local=False, issuers=[issuer.settings()], certificates=CertificateSettings())
        async with run_gateway(nats, identity=identity, tls=tls) as (_, process):
            url = f"https://127.0.0.1:{process.settings.listen.port}"
            trust = ssl.create_default_context(cafile=authority.file)
            async with httpx.AsyncClient(base_url=url, verify=trust, trust_env=False, timeout=20) as client:
                ada = {"Authorization": f"Bearer {await issuer.token('ada')}"}
                bob = {"Authorization": f"Bearer {await issuer.token('bob')}"}
                mine = await _submit(client, ada)
                other = await _submit(client, ada)
                robot = await _robot_of(client, ada, mine)
                await _see_to_the_robot(client, robot, mine, other)
                assert (await client.get(f"/v1/jobs/{mine}", headers=bob)).status_code == 404
                assert (await client.get("/v1/jobs", headers=bob)).json()["items"] == []
            trust.load_cert_chain(*authority.client(cn="cy"))
            async with httpx.AsyncClient(base_url=url, verify=trust, trust_env=False, timeout=20) as client:
                assert (await client.get("/v1/whoami")).json()["subject"] == "cy"
                assert (await client.get(f"/v1/jobs/{mine}")).status_code == 404
                await _submit(client, {})
                assert [job["owner"] for job in (await client.get("/v1/jobs")).json()["items"]] == ["cy"]


async def _submit(client: httpx.AsyncClient, headers: dict[str, str]) -> str:
    answer = await client.post("/v1/jobs", json=HELD, headers=headers)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def _robot_of(client: httpx.AsyncClient, owner: dict[str, str], job: str) -> dict[str, str]:
    """Narrow a token of *owner* to one job, as its holder does it: no server is asked but for the public keys."""
    minted = (await client.post("/v1/tokens", json={"name": "robot"}, headers=owner)).raise_for_status().json()
    keys = RootKeys.model_validate((await client.get("/v1/tokens/keys")).json())
    return {"Authorization": f"Bearer {narrow(minted['token'], keys, TokenScopes(jobs=[job]))}"}


async def _see_to_the_robot(client: httpx.AsyncClient, robot: dict[str, str], mine: str, other: str) -> None:
    assert (await client.get(f"/v1/jobs/{mine}", headers=robot)).json()["owner"] == "real:ada"
    assert (await client.post(f"/v1/jobs/{mine}/start", headers=robot)).status_code == 202
    for method, path in (
        ("GET", f"/v1/jobs/{other}"),
        ("GET", "/v1/jobs"),
        ("POST", "/v1/jobs"),
        ("POST", "/v1/tokens"),
    ):
        answer = await client.request(method, path, headers=robot, json=HELD if method == "POST" else None)
        assert answer.status_code == 403, (method, path, answer.text)
