"""Folders, moves, versions and limits over REST, with the storage that keeps them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.support.gateway import as_user, run_gateway
from tests.support.servers import S3, run_nats
from tests.support.storage import run_storage, storage_settings

pytestmark = pytest.mark.asyncio(loop_scope="module")

ADA, EVE, AUD, ROOT = (as_user(name) for name in ("ada", "eve", "aud", "root"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(tmp_path_factory: pytest.TempPathFactory, s3: S3) -> AsyncIterator[httpx.AsyncClient]:
    """A gateway and a storage for all tests of the module; each has a folder of its own."""
    folder: Path = tmp_path_factory.mktemp("folders")
    async with run_nats(folder) as nats, run_storage(storage_settings(folder, nats, s3)), run_gateway(nats) as (it, _):
        yield it


async def _put(client: httpx.AsyncClient, path: str, content: bytes = b"x") -> None:
    (await client.put(f"/v1/files/{path}", content=content, headers=ADA)).raise_for_status()


async def _names(client: httpx.AsyncClient, prefix: str) -> list[str]:
    page = (await client.get("/v1/files", params={"prefix": prefix}, headers=ADA)).raise_for_status().json()
    return sorted(one["path"] for one in [*page["items"], *page["folders"]])


async def test_a_folder_is_made_shown_moved_and_removed(client: httpx.AsyncClient) -> None:
    made = await client.put("/v1/folders/one/empty/", headers=ADA)
    assert (made.status_code, made.json()) == (201, {"path": "one/empty/"})
    await _put(client, "one/a.txt", b"12345")
    assert await _names(client, "one/") == ["one/a.txt", "one/empty/"]
    shown = (await client.get("/v1/folders/one", headers=ADA)).json()
    assert shown == {"path": "one/", "owner": "ada", "files": 1, "size": 5, "made": True}
    assert (await client.get("/v1/folders/one?owner=ada", headers=EVE)).status_code == 404

    moved = await client.post("/v1/moves", json={"path": "one", "to": "two/three", "folder": True}, headers=ADA)
    assert moved.json() == {"path": "two/three/", "moved": 1}
    assert await _names(client, "two/") == ["two/three/a.txt", "two/three/empty/"]
    gone = await client.post("/v1/moves", json={"path": "one", "to": "two/three", "folder": True}, headers=ADA)
    assert gone.status_code == 404
    await _put(client, "b.txt")
    taken = await client.post("/v1/moves", json={"path": "b.txt", "to": "two/three/a.txt"}, headers=ADA)
    assert (taken.status_code, taken.json()["code"]) == (409, "conflict")
    assert (await client.delete("/v1/files/two?recursive=true", headers=ADA)).status_code == 204
    assert await _names(client, "two/") == []


async def test_paths_cannot_leave_the_users_files(client: httpx.AsyncClient) -> None:
    for path in ("../x", "/etc", "a/../../x", "a\\b", "a\x00b", "jobs/x", ""):
        for move in ({"path": "b", "to": path}, {"path": path, "to": "b"}):
            answer = await client.post("/v1/moves", json=move, headers=ADA)
            assert answer.status_code in {404, 422}, move
    assert (await client.put("/v1/folders/..%2f..%2fx", headers=ADA)).status_code == 422


async def test_what_a_file_was_comes_back(client: httpx.AsyncClient) -> None:
    await _put(client, "kept/a", b"one")
    await _put(client, "kept/a", b"two")
    await client.delete("/v1/files/kept/a", headers=ADA)
    page: dict[str, Any] = (await client.get("/v1/versions?path=kept", headers=ADA)).json()
    assert [item["reason"] for item in page["items"]] == ["deleted", "overwritten"]
    assert "key" not in page["items"][0]
    answer = await client.post("/v1/restores", json={"path": "kept", "folder": True}, headers=ADA)
    assert answer.json() == {"path": "kept/", "restored": 1}
    old = page["items"][1]["id"]
    assert (await client.post("/v1/restores", json={"version": old, "to": "kept/b"}, headers=ADA)).status_code == 200
    assert (await client.get("/v1/files/kept/b", headers=ADA)).content == b"one"
    assert (await client.post("/v1/restores", json={"version": old}, headers=EVE)).status_code == 404
    for wrong in ({}, {"path": "a", "version": old}, {"path": "a", "to": "b"}):
        assert (await client.post("/v1/restores", json=wrong, headers=ADA)).status_code == 422
    assert (await client.delete(f"/v1/versions/{old}", headers=ADA)).status_code == 204
    assert (await client.delete(f"/v1/versions/{old}", headers=ADA)).status_code == 404
    await client.delete("/v1/files/kept?recursive=true", headers=ADA)
    assert (await client.delete("/v1/trash?path=kept", headers=ADA)).json() == {"purged": 2}


async def test_quotas_refuse_before_bytes_flow(client: httpx.AsyncClient) -> None:
    where = {"folder": "small"}
    said = await client.put(
        "/v1/folder-rules", params=where, json={"quota": "1KiB", "expires_after": "14d"}, headers=ADA
    )
    assert (said.json()["quota"], said.json()["expires_after"]) == (1024, 1209600.0)
    plan = await client.post("/v1/uploads", json={"path": "small/sparse", "size": 10 * 2**30}, headers=ADA)
    assert (plan.status_code, plan.json()["code"]) == (429, "over_quota")
    put = await client.put("/v1/files/small/a", content=b"1" * 2000, headers=ADA)
    assert put.json()["code"] == "over_quota"
    listed = (await client.get("/v1/folder-rules", headers=ADA)).json()
    assert [rule["path"] for rule in listed["items"]] == ["small"]
    assert (await client.delete("/v1/folder-rules", params=where, headers=ADA)).status_code == 204
    assert (await client.put("/v1/files/small/a", content=b"1" * 2000, headers=ADA)).status_code == 201
    assert (await client.put("/v1/folder-rules", json={"quota": "1KiB"}, headers=ADA)).status_code == 403
    whole = await client.put("/v1/folder-rules?owner=eve", json={"quota": "1KiB"}, headers=ROOT)
    assert whole.json()["path"] is None
    assert (await client.put("/v1/files/a", content=b"1" * 2000, headers=EVE)).json()["code"] == "over_quota"


async def test_usage_is_told_to_its_owner_and_to_whoever_sees_everything(client: httpx.AsyncClient) -> None:
    await _put(client, "used", b"123")
    mine = (await client.get("/v1/storage", headers=ADA)).json()
    assert mine["size"] >= 3
    assert (await client.get("/v1/storage?owner=ada", headers=EVE)).status_code == 404
    assert (await client.get("/v1/storage?owner=ada", headers=AUD)).json() == mine
    owners = (await client.get("/v1/storage/owners", headers=AUD)).json()["items"]
    assert {one["owner"]: one["size"] for one in owners}["ada"] == mine["size"]
    assert (await client.get("/v1/storage/owners", headers=ADA)).status_code == 403


async def test_what_the_caller_has_already_is_not_sent_again(client: httpx.AsyncClient) -> None:
    content = b"the same again"
    await _put(client, "first", content)
    new = {"path": "second", "size": len(content), "sha256": sha256(content).hexdigest()}
    plan = (await client.post("/v1/uploads", json=new, headers=ADA)).json()
    assert plan["parts"] == []
    done = await client.post("/v1/uploads/complete", json={"ticket": plan["ticket"]}, headers=ADA)
    assert (done.status_code, done.json()["path"]) == (201, "second")
    assert (await client.get("/v1/files/second", headers=ADA)).content == content
    other = (await client.post("/v1/uploads", json=new, headers=EVE)).json()
    assert other.get("parts") or other["code"] == "over_quota"
