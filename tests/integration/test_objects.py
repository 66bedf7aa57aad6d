"""What storage asks of an object store, asked of each kind: a bucket of S3, and a folder."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from contracts.errors import InvalidError, NotFoundError
from contracts.ids import message_id
from services.storage.objects import Form, Objects, StoredPart
from tests.support.objects import open_bucket, open_folder, put_object
from tests.support.servers import S3

PART = 5 * 2**20
SPAN = timedelta(minutes=5)


@pytest_asyncio.fixture(params=["s3", "folder"])
async def objects(request: pytest.FixtureRequest, s3: S3, tmp_path: Path) -> AsyncIterator[Objects]:
    opened = open_bucket(s3) if request.param == "s3" else open_folder(tmp_path / "store")
    async with opened as found:
        yield found


@pytest_asyncio.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        yield client


@pytest.fixture
def key() -> str:
    return f"ada/{message_id()}"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


async def test_an_object_of_parts_is_measured_whole_and_by_part(
    objects: Objects, http: httpx.AsyncClient, key: str
) -> None:
    first, last = os.urandom(PART), b"the end"
    await put_object(objects, http, key, first, last)
    content = await objects.measure(key, PART + len(last), PART)
    assert (content.size, content.sha256) == (PART + len(last), _digest(first + last))
    assert content.parts == (_digest(first), _digest(last))
    assert (await objects.measure(key, PART + len(last))).parts == ()
    other = await objects.measure(key, 3)
    assert (other.size, other.sha256) == (PART + len(last), "")


async def test_an_object_is_fetched_whole_and_by_range(objects: Objects, http: httpx.AsyncClient, key: str) -> None:
    await put_object(objects, http, key, b"0123456789")
    url = await objects.presign_get(key, SPAN, filename='mein "日".txt', content_type="text/csv")
    answer = await http.get(url)
    assert (answer.status_code, answer.content) == (200, b"0123456789")
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''mein%20%22%E6%97%A5%22.txt"
    (url,) = await objects.presign_gets([key], SPAN)
    for wanted, status, content in (
        ("bytes=2-4", 206, b"234"),
        ("bytes=8-99", 206, b"89"),
        ("bytes=-3", 206, b"789"),
        ("bytes=4-", 206, b"456789"),
    ):
        part = await http.get(url, headers={"Range": wanted})
        assert (part.status_code, part.content) == (status, content), wanted
    assert (await http.get(url, headers={"Range": "bytes=10-"})).status_code == 416


async def test_an_upload_is_taken_up_again_and_parts_may_come_twice(
    objects: Objects, http: httpx.AsyncClient, key: str
) -> None:
    upload = await objects.begin(key, "text/plain", 2 * PART)
    urls = await objects.presign_parts(key, upload, [1, 2], SPAN)
    await http.put(urls[1], content=b"wrong")
    await asyncio.sleep(1.1)  # SeaweedFS tells two of the same second apart by chance
    await http.put(urls[1], content=b"right!")
    last = (await objects.parts(key, upload))[-1]
    assert (last.number, last.size) == (2, 6)
    await http.put(urls[0], content=b"x" * PART)
    first = (await objects.parts(key, upload))[0]
    await objects.complete(key, upload, [first, last])
    assert (await objects.measure(key, PART + 6)).sha256 == _digest(b"x" * PART + b"right!")
    await http.put(urls[0], content=b"late")
    assert (await objects.measure(key, PART + 6)).sha256 == _digest(b"x" * PART + b"right!")


async def test_parts_that_are_not_there_make_no_object(objects: Objects, http: httpx.AsyncClient, key: str) -> None:
    upload = await objects.begin(key, "text/plain", 10)
    with pytest.raises((InvalidError, NotFoundError)):  # an upload without a part is none to some servers
        await objects.complete(key, upload, [StoredPart(1, 10, "0" * 64)])
    assert not await objects.exists(key)
    await objects.abort(key, upload)
    await objects.abort(key, upload)
    with pytest.raises(NotFoundError):
        await objects.parts(key, upload)


async def test_an_empty_object_is_one(objects: Objects, http: httpx.AsyncClient, key: str) -> None:
    await put_object(objects, http, key, b"")
    content = await objects.measure(key, 0, PART)
    assert (content.size, content.parts) == (0, (_digest(b""),))


async def test_a_whole_object_is_put_and_deleted(objects: Objects, http: httpx.AsyncClient, key: str) -> None:
    url = await objects.presign_put(key, SPAN)
    assert not await objects.exists(key)
    assert (await http.put(url, content=b"whole")).is_success
    assert (await objects.measure(key, 5)).sha256 == _digest(b"whole")
    await objects.delete([key, f"ada/{message_id()}"])
    assert not await objects.exists(key)
    with pytest.raises(NotFoundError):
        await objects.measure(key, 5)


async def test_a_url_is_good_for_one_thing_and_for_a_while(objects: Objects, http: httpx.AsyncClient, key: str) -> None:
    await put_object(objects, http, key, b"secret")
    (url,) = await objects.presign_gets([key], SPAN)
    assert (await http.put(url, content=b"other")).status_code == 403
    broken = url[:-2] + ("aa" if not url.endswith("aa") else "bb")
    assert (await http.get(broken)).status_code == 403
    gone = await objects.presign_get(f"ada/{message_id()}", SPAN, filename="x", content_type="text/plain")
    assert (await http.get(gone)).status_code == 404


async def _post(http: httpx.AsyncClient, form: Form, name: str, content: bytes, **fields: str) -> int:
    files = {"file": (name, content, "text/plain")}
    return (await http.post(form.url, data={**form.fields, **fields}, files=files)).status_code


async def test_a_form_takes_files_under_their_names(objects: Objects, http: httpx.AsyncClient, key: str) -> None:
    prefix = f"_forms/{message_id()}/"
    form = await objects.form(prefix, SPAN, 100)
    for name, content in (("a.txt", b"one"), ("mein 日本.txt", b""), ("a%2fb", b"three")):
        assert await _post(http, form, name, content) == 204, name
    arrived = await objects.arrivals(prefix)
    assert [(one.key.removeprefix(prefix), one.size) for one in arrived] == [
        ("a%2fb", 5),
        ("a.txt", 3),
        ("mein 日本.txt", 0),
    ]
    await objects.adopt(arrived[1], key)
    assert await _post(http, form, "a.txt", b"another") == 204
    assert (await objects.measure(key, 3)).sha256 == _digest(b"one")
    with pytest.raises(NotFoundError):
        await objects.adopt(arrived[1], f"ada/{message_id()}")
    again = await objects.arrivals(prefix)
    assert again[1].tag != arrived[1].tag
    assert again[0] == arrived[0]
    await objects.delete([one.key for one in again])
    assert await objects.arrivals(prefix) == []
    assert (await objects.measure(key, 3)).sha256 == _digest(b"one")


async def test_a_form_takes_nothing_else(objects: Objects, http: httpx.AsyncClient) -> None:
    prefix, other = f"_forms/{message_id()}/", f"_forms/{message_id()}/"
    form = await objects.form(prefix, SPAN, 100)
    assert await _post(http, form, "large", b"x" * 101) in {400, 413}
    assert await _post(http, form, "x", b"1", key=f"{other}x") == 403
    assert await _post(http, form, "x", b"1", policy="bm90aGluZw==") in {400, 403}
    for name in ("../up", "..", "sub/../../up", "..\\..\\up", "/etc/passwd"):
        await _post(http, form, name, b"1")
    await _post(http, form, "x", b"1", key=f"{prefix}../up")
    assert await objects.arrivals(other) == []
    found = {one.key for one in await objects.arrivals(prefix)}
    assert found <= {f"{prefix}up", f"{prefix}passwd"}
    assert {one.key for one in await objects.arrivals("_forms/")} >= set()


async def test_a_form_ends(objects: Objects, http: httpx.AsyncClient) -> None:
    form = await objects.form(f"_forms/{message_id()}/", timedelta(seconds=1), 100)
    await asyncio.sleep(1.1)  # a signature counts whole seconds
    assert await _post(http, form, "x", b"1") == 403
