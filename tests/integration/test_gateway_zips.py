"""Folders as zips and forms for browsers, over REST."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import httpx
import pytest

from tests.support.gateway import Site, as_user

pytestmark = pytest.mark.asyncio(loop_scope="module")

ADA, EVE, AUD = as_user("ada"), as_user("eve"), as_user("aud")
DATA = bytes(range(256)) * 10_000


@pytest.fixture(scope="module")
def special() -> dict[str, Any]:
    return {"max_body": 1000}


def _unpacked(answer: httpx.Response) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


async def test_a_folder_comes_as_a_zip(site: Site, client: httpx.AsyncClient) -> None:
    kept = {"a.txt": b"hello", "empty": b"", "deep/er/mein 日本.bin": DATA, "z": b"end", "zz": b"more than a page"}
    for name, data in kept.items():
        site.keep("ada", f"data/d1/{name}", data)
    site.keep("ada", "data/d10/other", b"not in it")
    answer = await client.get("/v1/zip/data/d1/", headers=ADA)
    assert answer.status_code == 200, answer.text
    assert _unpacked(answer) == kept
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''d1.zip"
    assert "sandbox" in answer.headers["content-security-policy"]
    everything = _unpacked(await client.get("/v1/zip", headers=ADA))
    assert set(everything) == {*(f"data/d1/{name}" for name in kept), "data/d10/other"}


async def test_a_zip_is_its_owners(site: Site, client: httpx.AsyncClient) -> None:
    site.keep("ada", "data/x", b"1")
    assert (await client.get("/v1/zip/data", headers=EVE)).status_code == 404
    assert (await client.get("/v1/zip/data?owner=ada", headers=EVE)).status_code == 404
    assert _unpacked(await client.get("/v1/zip/data?owner=ada", headers=AUD)) == {"x": b"1"}
    assert (await client.get("/v1/zip/dat", headers=ADA)).status_code == 404
    for path in ("..%2f..%2fetc", "a%00b", "%2fetc%2f", "a%5cb", "x/%2e%2e/%2e%2e/y"):
        answer = await client.get(f"/v1/zip/{path}", headers=ADA)
        assert 400 <= answer.status_code < 500, path


@pytest.mark.parametrize("breaks", [1, 2])
async def test_what_the_store_breaks_off_goes_on(site: Site, client: httpx.AsyncClient, breaks: int) -> None:
    site.keep("ada", "data/x", DATA)
    site.breaks = breaks
    assert (await client.get("/v1/files/data/x", headers=ADA)).content == DATA
    site.breaks = breaks
    assert _unpacked(await client.get("/v1/zip/data", headers=ADA)) == {"x": DATA}


async def test_a_zip_whose_store_goes_away_has_no_end(site: Site, client: httpx.AsyncClient) -> None:
    site.keep("ada", "data/a", DATA)
    gone = site.keep("ada", "data/b", b"never")
    del site.objects[gone.key]
    with pytest.raises(httpx.RemoteProtocolError):
        await client.get("/v1/zip/data", headers=ADA)


async def test_a_form_is_given_to_a_browser(site: Site, client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/uploads/form", json={"folder": "data/d1/", "most": 1000}, headers=ADA)
    assert answer.status_code == 200, answer.text
    form: dict[str, Any] = answer.json()
    assert (form["folder"], form["most"]) == ("data/d1", 1000)
    assert form["fields"]["key"].endswith("${filename}")
    for wrong in ({"folder": "../x"}, {"most": 0}, {"most": 2**40}, {"expires": 0}, {"more": 1}):
        assert (await client.post("/v1/uploads/form", json=wrong, headers=ADA)).status_code == 422
