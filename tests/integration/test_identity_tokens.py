"""Shunter tokens over REST: minted, narrowed far from the gateway, revoked; and everything that is no good token."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest
from biscuit_auth import KeyPair, PublicKey

from tests.support.biscuits import bearer, forge, mint, narrow
from tests.support.gateway import Site, Stand, as_user

pytestmark = pytest.mark.asyncio(loop_scope="module")

ADA, BOB, EVE, AUD, ROOT = (as_user(name) for name in ("ada", "bob", "eve", "aud", "root"))
TRUE = {"argv": ["true"]}
_LATER = "2999-01-01T00:00:00Z"


@pytest.fixture
def public_key(stand: Stand) -> PublicKey:
    return stand.process.identity.signer._public[1]


async def _status(client: httpx.AsyncClient, token: str, method: str = "GET", path: str = "/v1/whoami") -> int:
    body = {"json": TRUE} if method == "POST" else {}
    return (await client.request(method, path, headers=bearer(token), **body)).status_code  # type: ignore[arg-type]


async def _job(client: httpx.AsyncClient, headers: dict[str, str], **spec: Any) -> str:
    answer = await client.post("/v1/jobs", json={**TRUE, **spec}, headers=headers)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def test_a_token_speaks_for_its_owner_without_roles_unless_asked(client: httpx.AsyncClient) -> None:
    minted = await mint(client, ROOT)
    seen = (await client.get("/v1/whoami", headers=bearer(minted["token"]))).json()
    assert (seen["subject"], seen["roles"], seen["token"]) == ("root", [], minted["id"])
    assert (await client.get("/v1/admin/health", headers=bearer(minted["token"]))).status_code == 403
    strong = await mint(client, ROOT, scopes={"roles": ["admin"]})
    assert (await client.get("/v1/whoami", headers=bearer(strong["token"]))).json()["roles"] == ["admin"]
    weak = await client.post("/v1/tokens", json={"scopes": {"roles": ["admin"]}}, headers=ADA)
    assert (weak.status_code, weak.json()["errors"][0]["field"]) == (422, "scopes.roles")


async def test_scopes_are_kept_to(client: httpx.AsyncClient, site: Site) -> None:
    job, other = await _job(client, ADA), await _job(client, ADA)
    reader = (await mint(client, ADA, scopes={"read_only": True}))["token"]
    assert await _status(client, reader, "GET", "/v1/jobs") == 200
    assert await _status(client, reader, "POST", "/v1/jobs") == 403
    one = (await mint(client, ADA, scopes={"jobs": [job]}))["token"]
    assert await _status(client, one, "GET", f"/v1/jobs/{job}") == 200
    assert await _status(client, one, "GET", f"/v1/jobs/{other}") == 403
    assert await _status(client, one, "GET", "/v1/jobs") == 403
    assert await _status(client, one, "GET", f"/v1/events?job={job}") == 200
    assert await _status(client, one, "GET", "/v1/events") == 403
    retried = await client.post(f"/v1/jobs/{job}/retry", headers=bearer(one))
    assert (retried.status_code, set(site.workloads)) == (403, {job, other})
    files = (await mint(client, ADA, scopes={"paths": ["/v1/files/", "/v1/whoami"]}))["token"]
    assert await _status(client, files, "GET", "/v1/files/none") == 404
    assert await _status(client, files) == 200
    assert await _status(client, files, "GET", "/v1/filesystem") in {403, 404}
    assert await _status(client, files, "GET", "/v1/jobs") == 403
    far = (await mint(client, ADA, scopes={"addresses": ["192.0.2.7"]}))["token"]
    here = (await mint(client, ADA, scopes={"addresses": ["192.0.2.7", "127.0.0.1"]}))["token"]
    assert (await _status(client, far), await _status(client, here)) == (403, 200)


async def test_gpus_are_counted_once_the_body_is_known(client: httpx.AsyncClient, site: Site) -> None:
    token = bearer((await mint(client, ADA, scopes={"max_gpus": 2}))["token"])

    async def submit(gpus: int, **more: Any) -> int:
        spec = {**TRUE, "resources": {"gpus": {"count": gpus}, **more.pop("resources", {})}, **more}
        return (await client.post("/v1/jobs", json=spec, headers=token)).status_code

    assert [await submit(0), await submit(2), await submit(3)] == [201, 201, 403]
    assert await submit(1, resources={"processes": 3}) == 403
    assert await submit(1, array={"count": 3}) == 403
    assert await submit(1, array={"count": 3, "max_running": 2}) == 201
    jobs = [{"key": key, **TRUE, "resources": {"gpus": {"count": 2}}} for key in ("a", "b")]
    assert (await client.post("/v1/batches", json={"jobs": jobs}, headers=token)).status_code == 403
    schedule = {"name": "n", "cron": "0 0 * * *", "job": {**TRUE, "resources": {"gpus": {"count": 3}}}}
    assert (await client.post("/v1/schedules", json=schedule, headers=token)).status_code == 403
    large = await _job(client, ADA, resources={"gpus": {"count": 8}}, hold=True)
    for verb in ("retry", "start", "release"):
        assert (await client.post(f"/v1/jobs/{large}/{verb}", headers=token)).status_code == 403, verb


async def test_a_token_for_one_project_bills_no_other(client: httpx.AsyncClient, site: Site) -> None:
    for name in ("optics", "sound"):
        assert (await client.put(f"/v1/projects/{name}", json={}, headers=ROOT)).status_code == 201
        put = await client.put(f"/v1/projects/{name}/members/ada", json={"level": "member"}, headers=ROOT)
        assert put.status_code == 200
    token = bearer((await mint(client, ADA, scopes={"projects": ["optics"]}))["token"])
    seen = (await client.get("/v1/whoami", headers=token)).json()
    assert seen["projects"] == {"optics": "member"}
    assert site.workloads[await _job(client, token)].project == "optics"
    foreign = await client.post("/v1/tokens", json={"scopes": {"projects": ["other"]}}, headers=ADA)
    assert foreign.status_code == 422
    # What was given here is looked up at each request, whatever the token said when it was minted.
    assert (await client.delete("/v1/projects/optics/members/ada", headers=ROOT)).status_code == 204
    assert (await client.get("/v1/whoami", headers=token)).status_code == 403


async def test_a_holder_narrows_and_never_widens(client: httpx.AsyncClient, public_key: PublicKey, site: Site) -> None:
    job = await _job(client, ADA)
    token = (await mint(client, ADA))["token"]
    for word in ("operation", "mode"):
        reader = narrow(token, public_key, f'check if {word}("GET")')
        assert await _status(client, reader, "GET", f"/v1/jobs/{job}") == 200
        assert await _status(client, reader, "POST", f"/v1/jobs/{job}/cancel") == 403
    both = narrow(narrow(token, public_key, f'check if resource("{job}")'), public_key, 'check if mode("GET")')
    assert await _status(client, both, "GET", f"/v1/jobs/{job}") == 200
    assert await _status(client, both, "GET", "/v1/jobs") == 403
    assert await _status(client, both, "POST", f"/v1/jobs/{job}/cancel") == 403
    long = await client.post(
        "/v1/tokens", json={"scopes": {"paths": [f"/{n}{'x' * 500}" for n in range(64)]}}, headers=ADA
    )
    assert (long.status_code, long.json()["errors"][0]["field"]) == (422, "scopes")
    for said in (
        'user("root")',
        'user("root"); issuer("static"); use("admin"); role("admin")',
        'operation("POST"); mode("POST"); check if mode("GET")',
        f"time(1999-01-01T00:00:00Z); check if time($t), $t < {_LATER}",
        'gpus(0); project("other"); projects("admin other")',
    ):
        seen = await client.get("/v1/whoami", headers=bearer(narrow(token, public_key, said)))
        assert seen.status_code == 200, said
        assert (seen.json()["subject"], seen.json()["roles"]) == ("ada", []), said
        assert seen.json()["projects"].get("other") is None, said
        assert (
            await client.get("/v1/admin/health", headers=bearer(narrow(token, public_key, said)))
        ).status_code == 403
    assert await _status(client, narrow(token, public_key, 'check if service("shunter")')) == 200
    assert await _status(client, narrow(token, public_key, 'check if service("psik")')) == 403
    assert await _status(client, narrow(token, public_key, 'check if client($c), $c.starts_with("addr:")')) == 200
    assert await _status(client, narrow(token, public_key, 'check if user("ada"), path("/v1/whoami")')) == 200


async def test_what_is_no_good_token_is_refused(client: httpx.AsyncClient, public_key: PublicKey, stand: Stand) -> None:
    token = (await mint(client, ADA))["token"]
    own = KeyPair().private_key
    authority = f'user("root"); issuer("static"); use("admin"); check if time($time), $time < {_LATER}'
    root_key = stand.process.identity.signer
    good_but_odd = [
        forge(own, authority),
        forge(own, authority, key_id=None),
        forge(own, authority, key_id=7),
        token[:-8] + "AAAAAAA=",
        token[:200],
        token.swapcase(),
        "x" * 300,
        f"{token}.{token}",
        "." * 200,
    ]
    for bad in good_but_odd:
        assert await _status(client, bad) == 401, bad[:40]
    assert await _status(client, narrow(token, public_key, "check if time($t), $t < 2020-01-01T00:00:00Z")) == 401
    assert await _status(client, narrow(token, public_key, "check if false")) == 403
    assert await _status(client, narrow(token, public_key, "reject if true")) == 403
    huge = await client.get("/v1/whoami", headers=bearer("A" * 100_000))
    assert huge.status_code == 431
    long = token
    for _ in range(40):
        long = narrow(long, public_key, 'check if mode("GET")')
    assert await _status(client, long) == 401
    twice = await client.get("/v1/whoami", headers=[*bearer(token).items(), *ADA.items()])
    assert twice.status_code == 400
    assert root_key.open(token) is not None


_FACTS = "".join(f"n({number});" for number in range(60))
_SET = ", ".join(str(number) for number in range(99))


@pytest.mark.parametrize(
    "said",
    [
        f"{_FACTS} p($a, $b, $c, $d) <- n($a), n($b), n($c), n($d); check if p(1, 2, 3, 4)",
        f"{_FACTS} check if n($a), n($b), n($c), n($d), $a + $b + $c + $d > 1000",
        f"{_FACTS} check if n($a) or n($a), n($b), n($c), $a + $b + $c > 1000",
        f"{_FACTS} check all n($a), n($b), n($c), n($d), $a + $b + $c + $d > 0",
        f"{_FACTS} reject if n($a), n($b), n($c), n($d), $a + $b + $c + $d > 1000",
        f"check if [{_SET}].all($a -> [{_SET}].all($b -> [{_SET}].all($c -> $a + $b + $c >= 0)))",
        f'{_FACTS} check if n($a), n($b), "x".matches("(a{{200}}){{40}}")',
    ],
)
async def test_costly_blocks_are_refused_unchecked(client: httpx.AsyncClient, public_key: PublicKey, said: str) -> None:
    costly = narrow((await mint(client, ADA))["token"], public_key, said)
    began = time.process_time()
    assert await _status(client, costly) == 401
    looked = await client.post("/v1/tokens/inspect", json={"token": costly}, headers=ADA)
    assert "cost too much" in looked.json()["reason"]
    assert time.process_time() - began < 1


async def test_a_revoked_token_dies_with_its_children(client: httpx.AsyncClient, public_key: PublicKey) -> None:
    minted = await mint(client, ADA)
    child = narrow(minted["token"], public_key, 'check if mode("GET")')
    grandchild = narrow(child, public_key, 'check if service("shunter")')
    said = await client.post("/v1/tokens/revocations", json={"token": child, "reason": "leaked"}, headers=ADA)
    assert said.status_code == 200
    assert [await _status(client, one) for one in (minted["token"], child, grandchild)] == [200, 401, 401]
    looked = (await client.post("/v1/tokens/inspect", json={"token": grandchild}, headers=ADA)).json()
    assert [block["revoked"] for block in looked["blocks"]] == [False, True, False]
    assert (looked["valid"], looked["owner"], looked["reason"]) == (False, "ada", "the token was revoked")
    assert (await client.delete(f"/v1/tokens/{minted['id']}", headers=ADA)).status_code == 204
    assert await _status(client, minted["token"]) == 401
    record = (await client.get(f"/v1/tokens/{minted['id']}", headers=ADA)).json()
    assert record["revoked_at"] is not None
    # Revoked once more it is as revoked as before.
    assert (await client.delete(f"/v1/tokens/{minted['id']}", headers=ADA)).status_code == 204


async def test_tokens_are_their_owners_business(client: httpx.AsyncClient) -> None:
    minted = await mint(client, ADA)
    path = f"/v1/tokens/{minted['id']}"
    statuses = [(await client.get(path, headers=who)).status_code for who in (ADA, BOB, AUD, ROOT)]
    assert statuses == [200, 404, 200, 200]
    assert "token" not in (await client.get(path, headers=ADA)).json()
    assert (await client.delete(path, headers=BOB)).status_code == 404
    assert (await client.delete(path, headers=AUD)).status_code == 403
    foreign = await client.post("/v1/tokens/revocations", json={"token": minted["token"]}, headers=BOB)
    named = await client.post("/v1/tokens/revocations", json={"revocation_id": "0" * 128}, headers=BOB)
    assert (foreign.status_code, named.status_code) == (403, 403)
    assert (await client.get("/v1/tokens?owner=ada", headers=BOB)).json()["items"] == []
    assert {item["owner"] for item in (await client.get("/v1/tokens?owner=ada", headers=ROOT)).json()["items"]} == {
        "ada"
    }
    assert (await client.delete(path, headers=ROOT)).status_code == 204


async def test_a_token_makes_no_credentials(client: httpx.AsyncClient) -> None:
    token = bearer((await mint(client, ROOT, scopes={"roles": ["admin"]}))["token"])
    assert (await client.post("/v1/tokens", json={"name": "x"}, headers=token)).status_code == 403
    assert (await client.post("/v1/keys", json={"name": "x"}, headers=token)).status_code == 403
    password = {"password": "a password long enough"}
    assert (await client.put("/v1/users/ada/password", json=password, headers=token)).status_code == 403


async def test_lists_of_tokens_have_pages(client: httpx.AsyncClient) -> None:
    made = [(await mint(client, EVE, name=f"n{number}"))["id"] for number in range(5)]
    seen: list[str] = []
    cursor: str | None = None
    while True:
        params = {"limit": "2", **({"cursor": cursor} if cursor else {})}
        page = (await client.get("/v1/tokens", params=params, headers=EVE)).json()
        seen += [item["id"] for item in page["items"]]
        if not (cursor := page["next_cursor"]):
            break
    assert sorted(seen) == sorted(made)
    assert (await client.get("/v1/tokens?cursor=x", headers=EVE)).status_code == 400


async def test_the_keys_are_published_to_everybody(client: httpx.AsyncClient, public_key: PublicKey) -> None:
    keys = (await client.get("/v1/tokens/keys")).json()["keys"]
    assert [(key["id"], key["public_key"]) for key in keys] == [(1, bytes(public_key.to_bytes()).hex())]


async def test_every_change_is_an_event_without_secrets(client: httpx.AsyncClient) -> None:
    minted = await mint(client, BOB, name="told")
    await client.delete(f"/v1/tokens/{minted['id']}", headers=BOB)
    seen: list[Any] = []
    while len(seen) < 2:
        page = (await client.get("/v1/events?type=token&limit=1000", headers=BOB)).json()
        seen = [item["event"] for item in page["items"] if item["event"]["data"].get("token_id") == minted["id"]]
    assert [event["type"] for event in seen] == ["org.shunter.token.minted.v1", "org.shunter.token.revoked.v1"]
    assert {event["actor"] for event in seen} == {"user:bob"}
    assert minted["token"] not in str(seen)
    assert (await client.get("/v1/events?type=token", headers=EVE)).json()["items"] == [
        item
        for item in (await client.get("/v1/events?type=token", headers=EVE)).json()["items"]
        if item["event"]["owner"] == "eve"
    ]
