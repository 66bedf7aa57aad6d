"""Names, versions and quotas on PostgreSQL, as a site runs it in production."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.envelope import Context
from contracts.errors import OverQuotaError
from contracts.file_commands import RestoreVersion
from contracts.file_queries import GetFolder, GetStorageUsage, ListOwners, ListVersions
from contracts.ids import message_id
from contracts.model import now
from contracts.principals import Principal, Role
from contracts.queries import ListFiles
from services.chassis.database import make_engine
from services.chassis.migrations import ensure_schema
from services.storage.expiry import expire_files
from services.storage.folder.disk import Disk
from services.storage.folder.doors import Doors
from services.storage.folder.objects import FolderObjects
from services.storage.rules import Quotas
from services.storage.store import OpenedUpload, find_object, hold_object, open_upload
from services.storage.stored import Reason
from services.storage.superseded import doom_superseded, due_superseded, forget_superseded
from services.storage.usage import under_way
from tests.support.postgres import needs_postgres, run_postgres
from tests.support.shelves import Shelves, open_shelves

pytestmark = needs_postgres


@pytest.fixture
async def ada(tmp_path: Path) -> AsyncIterator[Shelves]:
    objects = FolderObjects(Disk(tmp_path / "objects", 0), Doors(SecretStr("k" * 40), "http://x"), calls=1, readers=1)
    async with run_postgres() as url:
        await ensure_schema("storage", url)
        async with open_shelves(make_engine(url), objects) as found:
            yield found
    objects.close()


def _context() -> Context:
    return Context.start("service:storage")


async def _names(ada: Shelves) -> list[str]:
    page = await ada.files.page(ListFiles(principal=ada.principal))
    return sorted([file.path for file in page.items] + [folder.path for folder in page.folders])


async def test_names_versions_and_quotas_on_postgresql(ada: Shelves) -> None:
    first = await ada.put("d/a", b"same")
    for path in ("d/a", "d/e/b", "d-x", "dé/a"):
        await ada.put(path, b"more")
    await ada.make("d/empty")
    await ada.move("d", "x/y", folder=True)
    assert await _names(ada) == ["d-x", "dé/a", "x/y/a", "x/y/e/b", "x/y/empty/"]
    assert (await ada.names.folder(GetFolder(principal=ada.principal, path="x"))).size == 8
    await ada.put("new/a", b"newer")
    await ada.move("new", "x/y", folder=True, replace=True)
    await ada.delete("dé")
    kept = (await ada.versions.page(ListVersions(principal=ada.principal, limit=2))).items
    assert [one.path for one in kept] == ["dé/a", "x/y/e/b"]
    await ada.restore("dé", folder=True)
    usage = await ada.rules.usage(GetStorageUsage(principal=ada.principal))
    assert (usage.files, usage.size, usage.versions.files, usage.trash.files) == (3, 13, 3, 0)
    owners = await ada.rules.owners(ListOwners(principal=Principal(subject="aud", roles=frozenset({Role.AUDITOR}))))
    assert [(one.owner, one.size) for one in owners.items] == [("ada", 13)]

    await ada.bound("x", 6)
    await ada.bound("x", 5)
    with pytest.raises(OverQuotaError):
        await ada.move("d-x", "x/z", folder=False)
    assert await expire_files(ada.unit, {"d": timedelta(0), "/": timedelta(days=1)}) == 0
    assert await expire_files(ada.unit, {"x": timedelta(0)}) == 1
    await _sweep(ada, first.key)


async def _sweep(ada: Shelves, key: str) -> None:
    async with ada.unit.begin(_context()) as work:
        assert await find_object(work.connection, "ada", sha256="0" * 64, size=4) is None
        assert await hold_object(work.connection, "ada", key)
        due = await due_superseded(work.connection, dict.fromkeys(Reason, now()), 10)
        assert key in await doom_superseded(work.connection, due)
        assert not await hold_object(work.connection, "ada", key)
        await forget_superseded(work.connection, due)
    assert (await ada.versions.page(ListVersions(principal=ada.principal))).items == []


async def test_of_many_who_take_the_same_name_one_gets_it_on_postgresql(ada: Shelves) -> None:
    for number in range(8):
        await ada.put(f"from/{number}", b"x")
    moves = [ada.move(f"from/{number}", "to", folder=False) for number in range(8)]
    ended = await asyncio.gather(*moves, return_exceptions=True)
    assert sorted(type(one).__name__ for one in ended) == ["ConflictError"] * 7 + ["NoneType"]
    assert len(await _names(ada)) == 8


async def test_of_many_at_once_only_those_come_for_which_there_is_room(ada: Shelves) -> None:
    quotas = Quotas(10)

    async def begin(number: int) -> None:
        async with ada.unit.begin(_context()) as work:
            await quotas.require(work.connection, "ada", f"{number}", 3, alone=True)
            await asyncio.sleep(0)
            upload = OpenedUpload(f"ada/{number}", None, "ada", f"{number}", 3)
            await open_upload(work.connection, upload, now() + timedelta(hours=1))

    ended = await asyncio.gather(*(begin(number) for number in range(8)), return_exceptions=True)
    assert sorted(type(one).__name__ for one in ended) == ["NoneType"] * 3 + ["OverQuotaError"] * 5
    async with ada.unit.reading() as connection:
        assert (await under_way(connection, "ada", "", now())).size == 9


class _Meanwhile:
    """A connection after whose second statement something happens elsewhere."""

    def __init__(self, connection: AsyncConnection, act: Callable[[], Awaitable[None]]) -> None:
        self._connection = connection
        self._act = act
        self._statements = 0

    async def execute(self, *said: Any) -> Any:
        """Do as the connection does."""
        found = await self._connection.execute(*said)
        self._statements += 1
        if self._statements == 2:
            await self._act()
        return found


async def test_bytes_that_are_brought_back_while_the_sweep_looks_who_names_them_stay(ada: Shelves) -> None:
    first = await ada.put("a", b"same")
    await ada.put("a", b"other")
    which = first.upload.rsplit("/", 1)[-1]
    again = RestoreVersion(principal=ada.principal, which=which, to="b")
    await ada.versions.restore_version(again, cause=message_id(), context=_context())
    await ada.delete("b")

    async def bring_back() -> None:
        await ada.restore("b", folder=False)

    async with ada.unit.begin(_context()) as work:
        connection = cast("AsyncConnection", _Meanwhile(work.connection, bring_back))
        assert await doom_superseded(connection, [first.upload]) == []
    assert await _names(ada) == ["a", "b"]
