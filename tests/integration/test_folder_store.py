"""The folder store by itself: a full disk, broken uploads and evil names leave nothing anywhere."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from contracts.errors import NotFoundError, UnavailableError
from contracts.ids import message_id
from services.storage.folder.doors import Door, until
from services.storage.folder.objects import FolderObjects
from tests.support.objects import open_folder, put_object

SPAN = timedelta(minutes=5)


@pytest_asyncio.fixture
async def objects(tmp_path: Path) -> AsyncIterator[FolderObjects]:
    async with open_folder(tmp_path / "store") as found:
        yield found


@pytest_asyncio.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        yield client


@pytest.fixture
def key() -> str:
    return f"ada/{message_id()}"


def _files(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file()]


@contextmanager
def _no_room_beyond(size: int) -> Iterator[None]:
    """Have the kernel refuse to write files that are larger, which is a full disk to whoever writes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_full_disk_is_said_and_the_upload_goes_on_when_there_is_room(
    objects: FolderObjects, http: httpx.AsyncClient, key: str, tmp_path: Path
) -> None:
    content = os.urandom(3 * 2**20)
    upload = await objects.begin(key, "text/plain", len(content))
    (url,) = await objects.presign_parts(key, upload, [1], SPAN)
    with _no_room_beyond(2 * 2**20):
        assert (await http.put(url, content=content)).status_code == 507
    assert _files(tmp_path) == []
    assert (await http.put(url, content=content)).status_code == 200
    with _no_room_beyond(2 * 2**20):
        form = await objects.form("_forms/x/", SPAN, 10 * 2**20)
        posted = await http.post(form.url, data=dict(form.fields), files={"file": ("large", content)})
    assert posted.status_code == 507
    await objects.complete(key, upload, await objects.parts(key, upload))
    assert len(_files(tmp_path)) == 1
    assert (await objects.measure(key, len(content))).size == len(content)


async def test_parts_that_cannot_be_joined_stay_until_there_is_room(
    objects: FolderObjects, http: httpx.AsyncClient, key: str, tmp_path: Path
) -> None:
    upload = await objects.begin(key, "text/plain", 2 * 2**20)
    for url in await objects.presign_parts(key, upload, [1, 2], SPAN):
        await http.put(url, content=bytes(2**20))
    parts = await objects.parts(key, upload)
    with _no_room_beyond(2**20 + 1), pytest.raises(UnavailableError, match="full"):
        await objects.complete(key, upload, parts)
    assert len(_files(tmp_path)) == 2
    await objects.complete(key, upload, parts)
    assert len(_files(tmp_path)) == 1


async def test_what_there_is_no_room_for_is_refused_before_it_comes(tmp_path: Path, http: httpx.AsyncClient) -> None:
    async with open_folder(tmp_path / "store", keep_free=2**60) as objects:
        with pytest.raises(UnavailableError, match="full"):
            await objects.begin("ada/1", "text/plain", 1)
        put = await http.put(await objects.presign_put("ada/1", SPAN), content=b"1")
        assert put.status_code == 507
    assert _files(tmp_path) == []


async def test_an_upload_that_breaks_off_leaves_nothing(
    objects: FolderObjects, http: httpx.AsyncClient, key: str, tmp_path: Path
) -> None:
    async def breaks() -> AsyncIterator[bytes]:
        yield bytes(2**21)
        raise ConnectionResetError

    url = await objects.presign_put(key, SPAN)
    with pytest.raises(ConnectionResetError):
        await http.put(url, content=breaks(), headers={"Content-Length": str(2**22)})
    async with httpx.AsyncClient(trust_env=False) as another:  # served after the broken one was given up
        assert (await another.put(await objects.presign_put(f"{key}2", SPAN), content=b"1")).status_code == 200
    deadline = time.monotonic() + 10
    while len(_files(tmp_path)) > 1 and time.monotonic() < deadline:
        await objects.call(lambda: time.sleep(0.01))
    assert len(_files(tmp_path)) == 1
    assert not await objects.exists(key)


async def test_what_a_crash_leaves_is_tidied_up(objects: FolderObjects, tmp_path: Path) -> None:
    left = tmp_path / "store" / "coming" / "left"
    left.write_bytes(b"half")
    assert await objects.tidy(timedelta(hours=1)) == 0
    os.utime(left, (0, 0))
    assert await objects.tidy(timedelta(hours=1)) == 1
    assert _files(tmp_path) == []


@pytest.mark.parametrize("evil", ["../../up", "..", "a/../../b", "/etc/passwd", "a//b", ".", "a/\x00", "", "a/./b"])
async def test_even_a_signed_key_leads_nowhere_else(
    objects: FolderObjects, http: httpx.AsyncClient, tmp_path: Path, evil: str
) -> None:
    for does in ("get", "put"):
        door = Door(does=does, key=evil, until=until(SPAN))
        answer = await http.request(does.upper(), objects.doors.open(door), content=b"x")
        assert 400 <= answer.status_code < 600
    for upload in ("../objects", "..", "0" * 32, ""):
        with pytest.raises(NotFoundError):
            await objects.parts("ada/1", upload)
        await objects.abort("ada/1", upload)
    assert _files(tmp_path) == []


async def test_requests_that_make_no_sense_are_refused(objects: FolderObjects, http: httpx.AsyncClient) -> None:
    url = objects.doors.url
    for body, kind in (
        (b"", ""),
        (b"x", "text/plain"),
        (b"x", "multipart/form-data"),
        (b"no boundary", "multipart/form-data; boundary=b"),
        (b"--b\r\n", "multipart/form-data; boundary=b"),
        (
            b"--b\r\nContent-Disposition: form-data; name=policy\r\n\r\nx\r\n--b--\r\n",
            "multipart/form-data; boundary=b",
        ),
        (b"--b\r\n" + b"X-A: b\r\n" * 5000, "multipart/form-data; boundary=b"),
    ):
        answer = await http.post(url, content=body, headers={"Content-Type": kind})
        assert answer.status_code == 400, (body[:50], answer.text)
    assert (await http.get(f"{url}/forged")).status_code == 403
    asked = await http.options(url, headers={"Origin": "https://lab.example", "Access-Control-Request-Method": "POST"})
    assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (204, "*")


async def test_what_was_hashed_as_it_came_is_not_read_again_unless_it_was_changed(
    objects: FolderObjects, http: httpx.AsyncClient, key: str
) -> None:
    await put_object(objects, http, key, b"truth")
    place = objects.disk.place(key)
    assert objects.disk.hashed.of(place.stat()) == sha256(b"truth").hexdigest()
    place.write_bytes(b"a lie")
    assert (await objects.measure(key, 5)).sha256 == sha256(b"a lie").hexdigest()
    await put_object(objects, http, key, b"two", b" parts")
    content = await objects.measure(key, 9, 3)
    assert content.sha256 == sha256(b"two parts").hexdigest()


async def test_an_owner_with_a_long_name_has_a_place(objects: FolderObjects, http: httpx.AsyncClient) -> None:
    key = f"{'_E6_97_A5' * 80}/{message_id()}"
    await put_object(objects, http, key, b"1")
    assert await objects.exists(key)
