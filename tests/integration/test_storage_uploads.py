"""Uploads end in a file whose bytes are right, or in nothing."""

from __future__ import annotations

import asyncio
import os
from unittest.mock import patch

import httpx
import pytest

from contracts.commands import CompleteUpload
from contracts.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from contracts.events import FileStored
from contracts.files import UploadPlan
from contracts.queries import DownloadFile
from services.storage.objects import Objects, StoredPart
from services.storage.settings import StorageSettings
from tests.support.storage import (
    EVE,
    PART,
    User,
    digest_of,
    fetch,
    key_in,
    opened,
    put_part,
    sweeper,
)

BIG = os.urandom(2 * PART + 1000)


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def _download(user: User, path: str) -> bytes:
    answer = await user.ask(DownloadFile(principal=user.principal, path=path))
    return (await fetch(answer.url)).content


@pytest.mark.parametrize("content", [b"", b"hello"], ids=["empty", "small"])
async def test_a_small_file_comes_back_as_it_was_sent(ada: User, content: bytes) -> None:
    record = await ada.put("data/a file.txt", content, content_type="text/plain")

    assert (record.owner, record.size, record.sha256) == (ada.principal.subject, len(content), digest_of(content))
    assert record.key
    assert await ada.get("data/a file.txt") == record
    assert await _download(ada, "data/a file.txt") == content


async def test_a_download_has_the_name_and_type_of_the_file(ada: User) -> None:
    await ada.put("data/Größe 1.csv", b"a,b", content_type="text/csv")
    answer = await ada.ask(DownloadFile(principal=ada.principal, path="data/Größe 1.csv", expires=60))
    response = await fetch(answer.url)

    assert response.headers["content-disposition"] == "attachment; filename*=UTF-8''Gr%C3%B6%C3%9Fe%201.csv"
    assert response.headers["content-type"] == "text/csv"
    assert (answer.size, answer.sha256) == (3, digest_of(b"a,b"))


async def test_a_large_file_comes_in_parts_side_by_side(ada: User) -> None:
    plan = await ada.open("big.bin", BIG, sha256=digest_of(BIG))
    assert [(part.number, part.offset, part.size) for part in plan.parts] == [
        (1, 0, PART),
        (2, PART, PART),
        (3, 2 * PART, 1000),
    ]
    done = await asyncio.gather(*(put_part(part, BIG) for part in reversed(plan.parts)))
    record = await ada.complete(plan, list(done))

    assert (record.size, record.sha256) == (len(BIG), digest_of(BIG))
    assert await _download(ada, "big.bin") == BIG


async def test_an_upload_is_taken_up_where_it_broke_off(ada: User) -> None:
    plan = await ada.open("big.bin", BIG)
    await put_part(plan.parts[0], BIG)
    with pytest.raises(InvalidError, match="2, 3"):
        await ada.complete(plan)

    resumed = await ada.resume(plan.ticket)
    assert ([done.number for done in resumed.done], [part.number for part in resumed.parts]) == ([1], [2, 3])
    for part in resumed.parts:
        await put_part(part, BIG)
    assert (await ada.complete(resumed)).sha256 == digest_of(BIG)
    assert (await ada.resume(plan.ticket)).parts == []


async def test_nobody_else_takes_up_an_upload(ada: User) -> None:
    plan = await ada.open("big.bin", BIG)
    with pytest.raises(NotFoundError):
        await User(ada.bus, EVE).resume(plan.ticket)
    with pytest.raises(ForbiddenError):
        await ada.resume(plan.ticket[:-3] + "abc")


@pytest.mark.parametrize("sent", [b"other bytes", b"more bytes than were announced"], ids=["checksum", "size"])
async def test_wrong_bytes_are_refused_and_nothing_is_left(ada: User, stored: StorageSettings, sent: bytes) -> None:
    plan = await ada.open("a.txt", b"right bytes", sha256=digest_of(b"right bytes"))
    wrong = plan.parts[0].model_copy(update={"size": len(sent)})
    with pytest.raises(InvalidError):
        await ada.complete(plan, [await put_part(wrong, sent)])

    with pytest.raises(NotFoundError):
        await ada.get("a.txt")
    assert await ada.events(FileStored, 0) == []
    async with opened(stored) as (_, objects):
        assert not await objects.exists(key_in(plan.parts[0].url))
    if len(sent) == len(b"right bytes"):
        with pytest.raises(ConflictError):
            await ada.complete(plan)


async def test_the_url_of_a_finished_file_cannot_change_it(ada: User) -> None:
    plan = await ada.open("a.txt", b"first")
    await ada.complete(plan, [await put_part(plan.parts[0], b"first")])
    with pytest.raises(Exception, match="404"):
        await put_part(plan.parts[0], b"later")
    assert await _download(ada, "a.txt") == b"first"


async def test_a_redelivered_completion_makes_one_file_and_one_event(ada: User) -> None:
    plan = await ada.open("a.txt", b"once")
    done = [await put_part(plan.parts[0], b"once")]
    command = CompleteUpload(ticket=plan.ticket, parts=done)
    await ada.redeliver(command, times=3)

    record = await ada.complete(plan, done)
    assert record == await ada.get("a.txt")
    (event,) = await ada.events(FileStored)
    assert (event.owner, event.path, event.key, event.sha256) == (
        ada.principal.subject,
        "a.txt",
        record.key,
        digest_of(b"once"),
    )


async def test_two_completions_at_once_make_one_file_and_one_event(ada: User) -> None:
    plan = await ada.open("big.bin", BIG)
    done = [await put_part(part, BIG) for part in plan.parts]
    records = await asyncio.gather(*(ada.complete(plan, done) for _ in range(4)))

    assert len({record.key for record in records}) == 1
    assert len(await ada.events(FileStored)) == 1


async def test_a_completion_goes_on_after_a_crash_behind_the_assembly(ada: User, stored: StorageSettings) -> None:
    plan = await ada.open("a.txt", b"kept")
    done = await put_part(plan.parts[0], b"kept")
    async with opened(stored) as (_, objects):
        await _assemble(objects, plan.parts[0].url, done.etag)

    assert (await ada.resume(plan.ticket)).parts == []
    assert (await ada.complete(plan, [done])).sha256 == digest_of(b"kept")


async def _assemble(objects: Objects, url: str, etag: str) -> None:
    """Do what a completion does first."""
    upload_id = httpx.URL(url).params["uploadId"]
    await objects.complete(key_in(url), upload_id, [StoredPart(1, 4, etag)])


async def test_a_second_completion_of_an_overwritten_file_gets_its_old_record(ada: User) -> None:
    plan = await ada.open("a.txt", b"one")
    done = [await put_part(plan.parts[0], b"one")]
    first = await ada.complete(plan, done)
    second = await ada.put("a.txt", b"two")

    assert await ada.complete(plan, done) == first
    assert await ada.get("a.txt") == second


async def test_users_do_not_write_where_jobs_write(ada: User) -> None:
    for path in ("jobs/x/outputs/a", "jobs", "./jobs//a"):
        with pytest.raises(InvalidError) as refusal:
            await ada.open(path, b"")
        assert [error.field for error in refusal.value.errors] == ["path"]


async def test_an_abandoned_upload_is_dropped_by_the_sweep(ada: User, stored: StorageSettings) -> None:
    plan = await ada.open("big.bin", BIG, expires=60)
    await put_part(plan.parts[0], BIG)
    async with opened(stored) as (unit, objects):
        await sweeper(unit, objects).sweep()
        assert len((await ada.resume(plan.ticket)).done) == 1
        assert (await sweeper(unit, objects, abandoned_after=-7200).sweep()).uploads
        assert not (await sweeper(unit, objects, abandoned_after=-7200).sweep()).uploads

    with pytest.raises(ConflictError):
        await ada.resume(plan.ticket)
    with pytest.raises(ConflictError):
        await ada.complete(plan)
    with pytest.raises(Exception, match="404"):
        await put_part(plan.parts[1], BIG)


async def test_an_upload_that_is_taken_up_again_while_others_are_swept_goes_on(
    ada: User, stored: StorageSettings
) -> None:
    plans = [await ada.open(f"late-{number}.bin", BIG, expires=60) for number in range(2)]
    went_on: list[str] = []
    async with opened(stored) as (unit, objects):
        abort = objects.abort

        async def abort_slowly(key: str, upload_id: str) -> None:
            """Drop the first; the other one's owner comes back meanwhile."""
            if not went_on:
                tries = await asyncio.gather(*(ada.resume(plan.ticket) for plan in plans), return_exceptions=True)
                went_on.extend(one.ticket for one in tries if isinstance(one, UploadPlan))
            await abort(key, upload_id)

        with patch.object(objects, "abort", abort_slowly):
            await sweeper(unit, objects, abandoned_after=-1800).sweep()
    assert len(went_on) == 1
    assert len((await ada.resume(went_on[0])).parts) == 3
