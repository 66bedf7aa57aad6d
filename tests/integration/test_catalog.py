"""The file of applications: followed as it is changed, on a disk or in a store; broken edits change nothing."""

from __future__ import annotations

import io
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from minio import Minio
from prometheus_client import REGISTRY
from sqlalchemy import select

from contracts.catalog import CatalogBroken, CatalogLoaded, ListApplications
from contracts.envelope import Envelope, type_of
from contracts.ids import message_id
from contracts.operations import Severity
from services.chassis.database import close_engine, make_engine
from services.chassis.unit import UnitOfWork, turn_for
from services.scheduler.catalog.settings import ApplicationSettings, S3Access
from services.scheduler.catalog.shelf import Shelf
from services.scheduler.catalog.sources import FileSource, ObjectSource, Source, source_of
from services.scheduler.tables import METADATA
from tests.support.catalogs import small
from tests.support.databases import bring_empty, url_in
from tests.support.scheduler import ADA, ADMIN
from tests.support.servers import S3

GOOD, OTHER, BROKEN = small("true"), small("false"), small("true", timeout=0)


class Site:
    """A shelf that follows a file, and what it says."""

    def __init__(self, folder: Path, unit: UnitOfWork) -> None:
        self.file = folder / "application_config.yaml"
        self.unit = unit
        self.shelf = self.again()

    def again(self, source: Source | None = None) -> Shelf:
        """Return a shelf that knows nothing yet, as after a restart."""
        self.shelf = Shelf(unit=self.unit, source=source or FileSource(self.file), every=60)
        return self.shelf

    def write(self, text: str) -> None:
        """Put another file in its place, as editors do."""
        draft = self.file.with_suffix(".new")
        draft.write_text(text)
        draft.rename(self.file)

    async def command(self) -> str:
        """Return the command that is offered."""
        return (await self.shelf.current()).applications["small"]["v1"]["run"].app.cmd[0]

    async def told(self) -> list[Envelope]:
        """Return the events that are on their way."""
        outbox = METADATA.tables["outbox"]
        async with self.unit.reading() as connection:
            rows = await connection.execute(select(outbox.c.payload).order_by(outbox.c.created_at))
        return [Envelope.from_bytes(row.payload) for row in rows]

    async def kinds(self) -> list[str]:
        """Return their types, short."""
        return [event.type.split(".")[3] for event in await self.told()]


@asynccontextmanager
async def _open(folder: Path) -> AsyncIterator[UnitOfWork]:
    await bring_empty(url_in(folder))
    engine = make_engine(url_in(folder))
    try:
        async with engine.begin() as connection:
            await connection.run_sync(METADATA.create_all)
        inbox, outbox = METADATA.tables["inbox"], METADATA.tables["outbox"]
        yield UnitOfWork(
            engine=engine,
            inbox=inbox,
            outbox=outbox,
            source="scheduler",
            announce=lambda _rows: None,
            turn=turn_for(engine),
        )
    finally:
        await close_engine(engine)


@pytest_asyncio.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with _open(tmp_path) as unit:
        yield Site(tmp_path, unit)


def _faults() -> float | None:
    return REGISTRY.get_sample_value("shunter_catalog_faults")


async def test_where_there_is_no_file_nothing_is_offered_and_nothing_is_wrong(site: Site) -> None:
    catalog = await site.shelf.current()
    assert (catalog.applications, catalog.faults, catalog.sha256) == ({}, [], "")
    assert await site.told() == []


async def test_a_change_is_offered_at_once_and_told_once(site: Site) -> None:
    site.write(GOOD)
    assert await site.command() == "true"
    site.write(OTHER)
    assert await site.command() == "false"
    assert await site.command() == "false"
    assert await site.kinds() == ["loaded", "loaded"]
    (first, _) = await site.told()
    assert first.unwrap(CatalogLoaded).entrypoints == ["small/v1/run"]


async def test_a_broken_edit_changes_nothing_but_is_told_with_its_lines(site: Site) -> None:
    site.write(GOOD)
    await site.shelf.current()
    site.write(BROKEN)
    assert await site.command() == "true"
    assert await site.kinds() == ["loaded", "broken"]
    told = (await site.told())[1]
    assert told.type == type_of(CatalogBroken)
    (fault,) = told.unwrap(CatalogBroken).faults
    assert (fault.line, fault.field) == (6, "small.v1.run.aws_resources.timeout")
    assert _faults() == 1
    (finding,) = await site.shelf.findings()
    assert finding.severity is Severity.WARNING
    assert finding.evidence[0].startswith("line 6: small.v1.run.aws_resources.timeout")
    # Operators are told, users are not.
    assert (await site.shelf.answer(ListApplications(principal=ADMIN))).faults == [fault]
    assert (await site.shelf.answer(ListApplications(principal=ADA))).faults == []


async def test_what_was_good_outlives_a_restart_and_is_not_told_again(site: Site) -> None:
    site.write(GOOD)
    await site.shelf.current()
    site.write(BROKEN)
    await site.shelf.current()
    site.again()
    assert await site.command() == "true"
    assert len((await site.shelf.current()).faults) == 1
    assert await site.kinds() == ["loaded", "broken"]
    site.write(GOOD)
    assert await site.command() == "true"
    assert (await site.shelf.current()).faults == []
    assert _faults() == 0
    assert await site.kinds() == ["loaded", "broken", "loaded"]


async def test_a_file_that_goes_takes_nothing_away(site: Site) -> None:
    site.write(GOOD)
    await site.shelf.current()
    site.file.unlink()
    assert await site.command() == "true"
    assert (await site.told())[1].unwrap(CatalogBroken).sha256 is None
    site.write("")
    assert (await site.shelf.current()).applications == {}  # an empty file is a wish


async def test_a_file_that_nobody_may_read_is_like_a_store_that_is_away(site: Site) -> None:
    site.write(GOOD)
    await site.shelf.current()
    site.file.unlink()
    site.file.mkdir()
    os.utime(site.file, ns=(1, 1))
    assert await site.command() == "true"
    assert (await site.shelf.findings())[0].evidence
    assert await site.kinds() == ["loaded"]


async def test_another_file_is_not_mistaken_for_the_one_before(site: Site, tmp_path: Path) -> None:
    site.write(GOOD)
    await site.shelf.current()
    other = site.again(FileSource(tmp_path / "elsewhere.yaml"))
    assert (await other.current()).applications == {}


async def test_an_object_is_followed_too(site: Site, s3: S3) -> None:
    access = S3Access(endpoint=s3.endpoint, access_key=s3.access_key, secret_key=s3.secret_key)
    store = Minio(s3.endpoint, s3.access_key, s3.secret_key, secure=False, region="us-east-1")
    bucket = f"test-{message_id()}"
    settings = ApplicationSettings(file=f"s3://{bucket}/config/apps.yaml")
    source = source_of(settings, Path(), access)
    assert isinstance(source, ObjectSource)
    shelf = site.again(source)
    assert (await shelf.current()).applications == {}
    store.make_bucket(bucket)
    for text, command in ((GOOD, "true"), (BROKEN, "true"), (OTHER, "false")):
        store.put_object(bucket, "config/apps.yaml", io.BytesIO(text.encode()), len(text))
        await shelf.look()
        assert await site.command() == command
    assert await site.kinds() == ["loaded", "broken", "loaded"]


async def test_a_store_that_is_away_takes_nothing_away(site: Site, s3: S3) -> None:
    site.write(GOOD)
    await site.shelf.current()
    nowhere = ObjectSource(S3Access(endpoint="127.0.0.1:9"), "bucket", "key")
    shelf = site.again(nowhere)
    assert (await shelf.current()).applications == {}
    assert "does not answer" in (await shelf.findings())[0].evidence[0]


@pytest.mark.parametrize("file", ["s3://", "s3://bucket", "s3://bucket/"])
def test_an_address_that_names_no_object_is_said_at_the_start(file: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="names no object"):
        source_of(ApplicationSettings(file=file), tmp_path, S3Access())
