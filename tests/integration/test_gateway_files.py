"""Files and presigned transfers over REST."""

from __future__ import annotations

from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any

import httpx
import pytest

from contracts.commands import SubmitWorkload
from contracts.ids import workload_id
from contracts.principals import Principal
from contracts.spec import JobSpec
from contracts.states import WorkloadState
from tests.support.gateway import Site, as_user

pytestmark = pytest.mark.asyncio(loop_scope="module")

ADA, EVE, AUD = as_user("ada"), as_user("eve"), as_user("aud")
DATA = bytes(range(256)) * 10_000


@pytest.fixture(scope="module")
def special() -> dict[str, Any]:
    return {"max_body": 1000}


async def test_a_file_goes_up_in_parts_and_comes_back(site: Site, client: httpx.AsyncClient) -> None:
    digest = sha256(DATA).hexdigest()
    headers = {**ADA, "X-Content-SHA256": digest, "Content-Type": "text/csv", "If-None-Match": "*"}
    url = "/v1/files/data/mein%20%E6%97%A5%E6%9C%AC.csv"
    put = await client.put(url, content=DATA, headers=headers)
    assert put.status_code == 201, put.text
    assert put.headers["etag"] == f'"{digest}"'
    assert (put.json()["path"], put.json()["sha256"]) == ("data/mein 日本.csv", digest)
    assert "key" not in put.json()
    assert put.headers["location"] == url
    asked: Any = site.asked[-1]
    assert (asked.size, asked.sha256, asked.content_type) == (len(DATA), digest, "text/csv")
    got = await client.get(url, headers=ADA)
    assert got.content == DATA
    assert got.headers["content-disposition"] == "attachment; filename*=UTF-8''mein%20%E6%97%A5%E6%9C%AC.csv"
    assert "sandbox" in got.headers["content-security-policy"]
    head = await client.head(url, headers=ADA)
    assert (head.status_code, head.headers["content-length"], head.content) == (200, str(len(DATA)), b"")
    assert (await client.put(url, content=DATA, headers=headers)).status_code == 412


async def test_a_file_is_read_by_range_and_not_sent_again(site: Site, client: httpx.AsyncClient) -> None:
    tag = f'"{site.keep("ada", "a.bin", DATA).sha256}"'
    part = await client.get("/v1/files/a.bin", headers={**ADA, "Range": "bytes=300-399", "If-Range": tag})
    assert (part.status_code, part.content) == (206, DATA[300:400])
    whole = await client.get("/v1/files/a.bin", headers={**ADA, "Range": "bytes=300-399", "If-Range": '"old"'})
    assert (whole.status_code, len(whole.content)) == (200, len(DATA))
    assert (await client.get("/v1/files/a.bin", headers={**ADA, "If-None-Match": tag})).status_code == 304
    beyond = await client.get("/v1/files/a.bin", headers={**ADA, "Range": "bytes=99999999-"})
    assert beyond.status_code == 416
    site.keep("ada", "empty", b"")
    assert (await client.get("/v1/files/empty", headers=ADA)).content == b""


async def test_a_broken_upload_makes_no_file(site: Site, client: httpx.AsyncClient) -> None:
    wrong = await client.put("/v1/files/a", content=b"abc", headers={**ADA, "X-Content-SHA256": "0" * 64})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (400, "X-Content-SHA256")

    async def chunks() -> AsyncIterator[bytes]:
        yield b"abc"

    assert (await client.put("/v1/files/a", content=chunks(), headers=ADA)).status_code == 411
    assert not site.files


async def test_an_empty_file_is_a_file(site: Site, client: httpx.AsyncClient) -> None:
    assert (await client.put("/v1/files/a/b", content=b"", headers=ADA)).status_code == 201
    assert site.files["ada", "a/b"].size == 0


async def test_files_are_listed_and_deleted(site: Site, client: httpx.AsyncClient) -> None:
    site.keep("ada", "data/x", b"1")
    site.keep("eve", "data/y", b"2")
    page = (await client.get("/v1/files?prefix=data/&recursive=false", headers=ADA)).json()
    assert [item["path"] for item in page["items"]] == ["data/x"]
    assert "key" not in page["items"][0]
    assert page["folders"] == [{"path": "data/"}]
    assert (await client.get("/v1/files/data/y", headers=ADA)).status_code == 404
    assert (await client.get("/v1/files/data/y?owner=eve", headers=ADA)).status_code == 404
    assert (await client.get("/v1/files/data/y?owner=eve", headers=AUD)).content == b"2"
    assert (await client.delete("/v1/files/data/x", headers=ADA)).status_code == 204
    assert (await client.delete("/v1/files/data/x", headers=ADA)).status_code == 404


async def test_a_path_cannot_leave_its_folder(site: Site, client: httpx.AsyncClient) -> None:
    for path in ("..%2f..%2fetc%2fpasswd", "a%00b", "a%0ab", "%2fetc", "a%5cb", "", "x/%2e%2e/%2e%2e/y", "a" * 2000):
        for method in ("GET", "PUT", "DELETE"):
            answer = await client.request(method, f"/v1/files/{path}", headers=ADA)
            assert 400 <= answer.status_code < 500, (path, method)
            assert answer.headers["content-type"] == "application/problem+json"
    assert not site.asked


async def test_bytes_can_pass_the_gateway_by(site: Site, client: httpx.AsyncClient) -> None:
    new = {"path": "big.bin", "size": len(DATA)}
    plan = (await client.post("/v1/uploads", json=new, headers=ADA)).json()
    assert [part["number"] for part in plan["parts"]] == [1, 2, 3]
    again = await client.post("/v1/uploads/resume", json={"ticket": plan["ticket"]}, headers=ADA)
    assert again.json()["parts"] == plan["parts"]
    for path in ("resume", "complete"):
        forged = await client.post(f"/v1/uploads/{path}", json={"ticket": "x"}, headers=ADA)
        assert (forged.status_code, forged.json()["code"]) == (403, "forbidden")
    done = []
    async with httpx.AsyncClient(trust_env=False) as store:
        for part in plan["parts"]:
            piece = DATA[part["offset"] : part["offset"] + part["size"]]
            put = await store.put(part["url"], content=piece)
            done.append({"number": part["number"], "etag": put.headers["etag"].strip('"')})
        complete = {"ticket": plan["ticket"], "parts": done}
        made = await client.post("/v1/uploads/complete", json=complete, headers=ADA)
        assert (made.status_code, made.json()["size"]) == (201, len(DATA))
        url = await client.post("/v1/downloads", json={"path": "big.bin", "expires": 60}, headers=ADA)
        assert (await store.get(url.json()["url"])).content == DATA
    bad = await client.post("/v1/uploads", json={"path": "../x", "size": -1, "more": 1}, headers=ADA)
    assert {item["field"] for item in bad.json()["errors"]} == {"path", "size", "more"}


async def test_what_a_job_left_behind_is_listed_and_fetched(site: Site, client: httpx.AsyncClient) -> None:
    job_id = workload_id()
    owner = Principal(subject="ada")
    command: Any = SubmitWorkload(workload_id=job_id, principal=owner, spec=JobSpec(argv=["true"]))
    await site.submit(command, Any)  # type: ignore[arg-type]
    output = site.archive(job_id, "outputs/model.bin", DATA)
    log = site.archive(job_id, "logs/1/stdout", b"hello")
    await site.move(job_id, WorkloadState.SUCCEEDED, outputs=[output], logs=[log])
    listed = await client.get(f"/v1/jobs/{job_id}/files", headers=ADA)
    assert listed.json() == {"items": [output.model_dump(), log.model_dump()]}
    got = await client.get(f"/v1/jobs/{job_id}/files/outputs/model.bin", headers=ADA)
    assert (got.content, got.headers["etag"]) == (DATA, f'"{output.sha256}"')
    url = (await client.get(f"/v1/jobs/{job_id}/files/logs/1/stdout?presign=true", headers=ADA)).json()["url"]
    async with httpx.AsyncClient(trust_env=False) as store:
        assert (await store.get(url)).content == b"hello"
    assert (await client.get(f"/v1/jobs/{job_id}/files/outputs/other", headers=ADA)).status_code == 404
    assert (await client.get(f"/v1/jobs/{job_id}/files/outputs/model.bin", headers=EVE)).status_code == 404


async def test_a_store_that_is_away_is_said_so(site: Site, client: httpx.AsyncClient) -> None:
    site.keep("ada", "a", b"abc")
    site.store_url = "http://127.0.0.1:9"
    for answer in (
        await client.get("/v1/files/a", headers=ADA),
        await client.put("/v1/files/b", content=b"abc", headers=ADA),
    ):
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
