"""What files were before: kept for a time, brought back, gone for good; and objects that several files share."""

from __future__ import annotations

from datetime import timedelta

import pytest

from contracts.envelope import Context
from contracts.errors import ConflictError, InvalidError, NotFoundError, OverQuotaError
from contracts.events import FileDeleted, FileStored
from contracts.file_commands import PurgeVersions, RestoreFile
from contracts.file_events import VersionsPurged
from contracts.file_queries import ListVersions
from contracts.files import FileRecord
from contracts.model import now
from contracts.queries import DownloadFile
from contracts.shelves import Gone, Purged
from services.storage.settings import StorageSettings
from services.storage.store import put_file
from services.storage.stored import StoredFile
from tests.support.storage import EVE, User, digest_of, fetch, opened, sweeper

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def _bytes(user: User, path: str) -> bytes:
    url = await user.ask(DownloadFile(principal=user.principal, path=path))
    return (await fetch(url.url)).content


# --- versions -----------------------------------------------------------------------------------------------------


async def test_what_a_file_was_is_kept_and_comes_back(ada: User) -> None:
    for content in (b"one", b"two", b"three"):
        await ada.put("a.txt", content)
    found = await ada.versions(path="a.txt")
    assert [(one.size, one.reason) for one in found] == [(3, Gone.OVERWRITTEN), (3, Gone.OVERWRITTEN)]
    assert [one.sha256 for one in found] == [digest_of(b"two"), digest_of(b"one")]

    assert await ada.bring(found[1]) == "a.txt"
    assert await _bytes(ada, "a.txt") == b"one"
    assert len(await ada.versions(path="a.txt")) == 3, "what was there is a version in turn"
    assert await ada.bring(found[0], "other/b.txt") == "other/b.txt"
    assert await _bytes(ada, "other/b.txt") == b"two"
    restored = [event for event in await ada.events(FileStored, 5) if event.restored_from]
    assert {(event.path, event.restored_from.rsplit("/")[-1]) for event in restored} == {
        ("a.txt", found[1].id),
        ("other/b.txt", found[0].id),
    }
    with pytest.raises(InvalidError):
        await ada.bring(found[0], "jobs/a")


async def test_versions_are_their_owners_alone(ada: User) -> None:
    await ada.put("a", b"1")
    await ada.put("a", b"2")
    (version,) = await ada.versions()
    eve = User(ada.bus, EVE)
    with pytest.raises(NotFoundError):
        await eve.versions(owner=ada.principal.subject)
    with pytest.raises(NotFoundError):
        await eve.bring(version)


async def test_versions_go_by_pages_the_last_first(ada: User) -> None:
    for number in range(4):
        await ada.put(f"d/{number}", b"")
    await ada.delete("d", recursive=True)
    await ada.put("d2", b"")
    await ada.delete("d2")
    pages: list[list[str]] = []
    cursor: str | None = None
    while not pages or cursor:
        page = await ada.ask(ListVersions(principal=ada.principal, limit=2, cursor=cursor))
        pages.append([one.path for one in page.items])
        cursor = page.next_cursor
    assert pages[0][0] == "d2"
    assert sorted(path for page in pages for path in page) == ["d/0", "d/1", "d/2", "d/3", "d2"]
    assert len(await ada.versions(path="d")) == 4
    assert await ada.versions(path="d", reasons=[Gone.OVERWRITTEN]) == []


# --- trash --------------------------------------------------------------------------------------------------------


async def test_a_deleted_file_comes_back_from_the_trash(ada: User) -> None:
    await ada.put("a.txt", b"kept")
    await ada.delete("a.txt")
    (version,) = await ada.versions(reasons=[Gone.DELETED])
    assert (version.path, version.size) == ("a.txt", 4)
    assert version.kept_until - version.gone_at == timedelta(days=7)
    assert await ada.restore("a.txt") == 1
    assert await _bytes(ada, "a.txt") == b"kept"
    assert await ada.versions() == []
    with pytest.raises(NotFoundError):
        await ada.restore("a.txt")


async def test_a_deleted_folder_comes_back_and_spares_what_is_there_again(ada: User) -> None:
    for path in ("d/a", "d/e/b", "d/c"):
        await ada.put(path, b"old")
    await ada.delete("d", recursive=True)
    await ada.put("d/c", b"new!")
    await ada.put("d/a", b"between")
    await ada.delete("d/a")
    assert await ada.restore("d", folder=True) == 2
    assert await ada.names() == ["d/a", "d/c", "d/e/b"]
    assert (await _bytes(ada, "d/a"), await _bytes(ada, "d/c")) == (b"between", b"new!")


async def test_a_restore_that_is_brought_again_restores_once(ada: User) -> None:
    await ada.put("a", b"1")
    await ada.delete("a")
    await ada.redeliver(RestoreFile(principal=ada.principal, path="a"), times=3)
    assert len(await ada.events(FileStored, 2)) == 2


async def test_a_restore_of_hundreds_goes_in_steps(ada: User, stored: StorageSettings) -> None:
    """Rows are made by hand: only the restore is of interest."""
    owner = ada.principal.subject
    async with opened(stored) as (unit, _), unit.begin(Context.start("service:test")) as work:
        for number in range(450):
            file = StoredFile(owner, f"d/{number}", f"{owner}/{number}", 1, "0" * 64, "text/plain", None, now())
            await put_file(work.connection, file, "test")
    await ada.delete("d", recursive=True)
    assert await ada.restore("d", folder=True) == 450
    found = await ada.usage()
    assert (found.files, found.size, found.trash.files) == (450, 450, 0)


async def test_there_must_be_room_for_what_comes_back(ada: User) -> None:
    await ada.rule("d", quota=10)
    await ada.put("d/a", b"1" * 8)
    await ada.delete("d/a")
    await ada.put("d/b", b"2" * 8)
    for wish in (ada.restore("d/a"), ada.restore("d", folder=True), ada.bring((await ada.versions())[0])):
        with pytest.raises(OverQuotaError):
            await wish
    await ada.delete("d/b")
    assert await ada.restore("d/a") == 1


async def test_what_is_deleted_for_good_is_not_in_the_trash(ada: User, stored: StorageSettings) -> None:
    record = await ada.put("a", b"1")
    await ada.delete("a", forever=True)
    assert await ada.versions() == []
    with pytest.raises(NotFoundError):
        await ada.restore("a")
    assert (await ada.events(FileDeleted))[0].reason == "purged"
    async with opened(stored) as (unit, objects):
        assert await objects.exists(record.key), "a job may still have to fetch it"
        await sweeper(unit, objects, retention=0).sweep()
        assert not await objects.exists(record.key)


async def test_the_trash_is_emptied_and_single_versions_are_done_away_with(ada: User) -> None:
    for path in ("a", "d/b", "d/c"):
        await ada.put(path, b"1")
        await ada.put(path, b"2")
    await ada.delete("a")
    await ada.delete("d", recursive=True)

    async def purge(**more: object) -> int:
        command = PurgeVersions.model_validate({"principal": ada.principal.model_dump(), **more})
        found: Purged = await ada.order(command, Purged)
        return found.purged

    assert await purge(path="d") == 2
    (one,) = await ada.versions(path="a", reasons=[Gone.DELETED])
    assert await purge(which=one.id) == 1
    assert {version.reason for version in await ada.versions()} == {Gone.OVERWRITTEN}
    assert await purge() == 0
    with pytest.raises(NotFoundError):
        await purge(which=one.id)
    assert (await ada.events(VersionsPurged))[0].versions == 1
    assert await purge(reasons=["overwritten"]) == 3


# --- time ---------------------------------------------------------------------------------------------------------


async def test_files_expire_by_the_rules_of_owners_and_of_the_site(ada: User, stored: StorageSettings) -> None:
    for path in ("short/a", "shorter", "site/a", "kept/a"):
        await ada.put(path, b"1")
    await ada.rule("short", expires_after=timedelta(minutes=1))
    await ada.rule("kept", expires_after=timedelta(days=1))
    async with opened(stored) as (unit, objects):
        await sweeper(unit, objects, expire={"nowhere": timedelta(0)}).sweep()
        assert "short/a" in await ada.names()
        owner = ada.principal.subject
        async with unit.begin(Context.start("service:test")) as work:
            await work.connection.exec_driver_sql(
                f"UPDATE files SET created_at = '2020-01-01 00:00:00.000000' WHERE owner = '{owner}' "
                "AND path NOT LIKE 'kept/%'"
            )
        await sweeper(unit, objects, expire={"site": timedelta(days=14)}).sweep()
    assert await ada.names() == ["kept/a", "shorter"]
    assert {version.reason for version in await ada.versions()} == {Gone.EXPIRED}
    assert await ada.restore("short", folder=True) == 1
    async with opened(stored) as (unit, objects):
        await sweeper(unit, objects).sweep()
    assert "short/a" in await ada.names(), "its time begins anew"


# --- equal content ------------------------------------------------------------------------------------------------


async def test_equal_content_is_brought_once(ada: User, stored: StorageSettings) -> None:
    content = b"the same bytes"
    first = await ada.put("a", content, sha256=digest_of(content))
    plan = await ada.open("b", content, sha256=digest_of(content), reuse=True)
    assert plan.parts == []
    second: FileRecord = await ada.complete(plan)
    assert (second.path, second.key, second.sha256) == ("b", first.key, first.sha256)
    assert await ada.complete(plan) == second
    assert {event.path for event in await ada.events(FileStored, 2)} == {"a", "b"}

    await ada.delete("a")
    async with opened(stored) as (unit, objects):
        await sweeper(unit, objects, retention=0).sweep()
        assert await _bytes(ada, "b") == content, "the object stays while a file names it"
        await ada.delete("b", forever=True)
        await sweeper(unit, objects, retention=0).sweep()
        assert not await objects.exists(first.key)


async def test_what_is_not_there_any_more_at_the_end_is_refused(ada: User, stored: StorageSettings) -> None:
    content = b"short lived"
    await ada.put("a", content)
    plan = await ada.open("b", content, sha256=digest_of(content), reuse=True)
    assert (await ada.resume(plan.ticket)).parts == []
    await ada.delete("a")
    async with opened(stored) as (unit, objects):
        await sweeper(unit, objects, retention=0).sweep()
    with pytest.raises(ConflictError):
        await ada.complete(plan)
    assert await ada.names() == []


async def test_nobody_gets_bytes_by_knowing_their_checksum(ada: User) -> None:
    secret = b"what ada has"
    await ada.put("a", secret)
    eve = User(ada.bus, EVE)
    plan = await eve.open("mine", secret, sha256=digest_of(secret), reuse=True)
    assert plan.parts
