"""Tokens that somebody else's API gave out are tokens like ours."""

from __future__ import annotations

from services.chassis.settings import NatsSettings
from tests.support.biscuits import bearer, narrow
from tests.support.gateway import as_user, run_gateway, run_site

ADA = as_user("ada")


async def test_a_token_that_a_dialect_gave_is_one_of_ours(nats: NatsSettings) -> None:
    async with run_site(nats), run_gateway(nats, dialects={"psik": {}}) as (client, process):
        public_key = process.identity.signer._public[1]
        given = await client.get("/psik/v1/token", headers=ADA)
        assert given.status_code == 200, given.text
        token = given.text
        assert (await client.get("/v1/whoami", headers=bearer(token))).json()["subject"] == "ada"
        reader = narrow(token, public_key, 'check if mode("GET"), service("psik")')
        listed = await client.get("/psik/v2/backends", headers=bearer(reader))
        assert listed.status_code == 200, listed.text
        assert (await client.post("/psik/v1/jobs", json={"script": "true"}, headers=bearer(reader))).status_code == 403
        assert (await client.get("/v1/jobs", headers=bearer(reader))).status_code == 403
        assert (await client.get("/psik/v1/token", headers=bearer(token))).status_code == 403
        shown = await client.post("/psik/v1/token", headers=bearer(reader))
        assert [block.partition("(")[0] for block in shown.json()["blocks"]] == ["user", "check if mode"]
