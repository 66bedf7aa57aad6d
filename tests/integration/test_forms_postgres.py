"""Forms on PostgreSQL, where nobody waits for another's turn: many who look at once make one file of what came."""

from __future__ import annotations

import asyncio
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import func, select

from contracts.transfers import OpenForm
from services.chassis.database import make_engine
from services.chassis.migrations import ensure_schema
from services.storage.adoption import Adoption, inbox_of
from services.storage.folder.disk import Disk
from services.storage.folder.doors import Doors
from services.storage.folder.objects import FolderObjects
from services.storage.form_store import forms_of
from services.storage.forms import FormService
from services.storage.rules import Quotas
from services.storage.tables import ARRIVALS, FILES, UPLOADS
from tests.support.postgres import needs_postgres, run_postgres
from tests.support.shelves import Shelves, open_shelves

pytestmark = needs_postgres


def _arrive(objects: FolderObjects, key: str, content: bytes) -> None:
    with objects.disk.incoming() as (file, coming):
        file.write([content])
        file.end()
        objects.disk.put(coming, key)


async def _counts(ada: Shelves) -> list[int]:
    async with ada.unit.reading() as connection:
        return [
            int((await connection.execute(select(func.count()).select_from(table))).scalar_one())
            for table in (FILES, UPLOADS, ARRIVALS)
        ]


async def test_many_who_look_at_once_make_one_file(tmp_path: Path) -> None:
    objects = FolderObjects(Disk(tmp_path / "objects", 0), Doors(SecretStr("k" * 40), "http://x"), calls=4, readers=2)
    await objects.check()
    async with run_postgres() as url:
        await ensure_schema("storage", url)
        async with open_shelves(make_engine(url), objects) as ada:
            looks = [Adoption(unit=ada.unit, objects=objects, quotas=Quotas(100)) for _ in range(6)]
            await FormService(unit=ada.unit, objects=objects, adoption=looks[0]).open(
                OpenForm(principal=ada.principal, folder="in")
            )
            async with ada.unit.reading() as connection:
                (form,) = await forms_of(connection, "ada")
            for content in (b"one", b"two, longer"):
                _arrive(objects, f"{inbox_of(form)}a.txt", content)
                await asyncio.gather(*(look.of(form, patiently=True) for look in looks))
                assert await _counts(ada) == [1, 0, 1]
            _arrive(objects, f"{inbox_of(form)}b.txt", b"x" * 100)
            await asyncio.gather(*(look.of(form, patiently=True) for look in looks))
            assert await _counts(ada) == [1, 0, 2]
            assert [envelope.type for envelope in ada.said] == [
                "org.shunter.file.stored.v1",
                "org.shunter.file.stored.v1",
                "org.shunter.file.refused.v1",
            ]
    objects.close()
