"""Identity on PostgreSQL, where a site has several gateways."""

from __future__ import annotations

import asyncio
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from services.chassis.database import close_engine, make_engine
from services.chassis.settings import NatsSettings
from services.gateway.tables import METADATA
from shunter.signing import KeyPairAuth
from tests.support.biscuits import bearer, mint
from tests.support.gateway import as_user, identity_settings, run_gateway
from tests.support.postgres import needs_postgres, run_postgres

pytestmark = needs_postgres

ADA, ROOT = as_user("ada"), as_user("root")


def _differences(connection: Connection) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), METADATA))


async def test_two_gateways_share_what_they_know(nats: NatsSettings, tmp_path: Path) -> None:
    async with (
        run_postgres() as url,
        run_gateway(nats, data=tmp_path, database_url=url) as (one, _),
        run_gateway(nats, data=tmp_path, database_url=url, identity=identity_settings(refresh=600)) as (two, process),
    ):
        engine = make_engine(url)
        async with engine.connect() as connection:
            assert await connection.run_sync(_differences) == []
        await close_engine(engine)
        for name in ("b", "B", "a"):
            assert (await one.put(f"/v1/projects/{name}", json={"title": name}, headers=ROOT)).status_code == 201
        listed = (await two.get("/v1/projects?limit=2", headers=ROOT)).json()
        rest = (await two.get("/v1/projects", params={"cursor": listed["next_cursor"]}, headers=ROOT)).json()
        assert [item["name"] for item in [*listed["items"], *rest["items"]]] == ["B", "a", "b"]
        minted = await mint(one, ADA, scopes={"max_gpus": 1})
        pair = (await one.post("/v1/keys", json={"name": "k"}, headers=ADA)).json()
        assert (await one.put("/v1/projects/a/members/ada", json={"level": "admin"}, headers=ROOT)).status_code == 200
        await process.identity.refresh()
        auth = KeyPairAuth(pair["access_key"], pair["secret_key"])
        seen = (await two.get("/v1/whoami", auth=auth)).json()
        assert (seen["subject"], seen["projects"]["a"]) == ("ada", "admin")
        assert [item["id"] for item in (await two.get("/v1/tokens", headers=ADA)).json()["items"]] == [minted["id"]]
        assert (await two.get("/v1/whoami", headers=bearer(minted["token"]))).status_code == 200
        await one.post("/v1/users/ada/disable", json={"reason": "x"}, headers=ROOT)
        status = 0
        for _ in range(100):  # until it has heard of it
            if (status := (await two.get("/v1/whoami", headers=bearer(minted["token"]))).status_code) == 401:
                break
            await asyncio.sleep(0.02)
        assert status == 401
        assert (await two.delete(f"/v1/tokens/{minted['id']}", headers=ROOT)).status_code == 204
        assert (await two.put("/v1/users/ada", json={"display_name": "A"}, headers=ROOT)).json()["revision"] == 2


async def test_of_many_who_change_one_revision_at_two_gateways_one_does(nats: NatsSettings, tmp_path: Path) -> None:
    async with (
        run_postgres() as url,
        run_gateway(nats, data=tmp_path, database_url=url) as (one, _),
        run_gateway(nats, data=tmp_path, database_url=url) as (two, _),
    ):
        for place, named in (("/v1/users/ada", "display_name"), ("/v1/projects/lab", "title")):
            revision = (await one.put(place, json={named: "first"}, headers=ROOT)).json()["revision"]
            for _ in range(5):
                at = ROOT | {"If-Match": f'"{revision}"'}
                words = [(client, f"word {number}") for number in range(4) for client in (one, two)]
                asked = [client.put(place, json={named: word}, headers=at) for client, word in words]
                answers = await asyncio.gather(*asked)
                assert sorted(answer.status_code for answer in answers) == [200, *[409] * 7]
                revision += 1
                assert (await one.get(place, headers=ROOT)).json()["revision"] == revision
