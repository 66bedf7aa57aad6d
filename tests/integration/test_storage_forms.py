"""Forms by which browsers bring files, and folders as a whole: with a bucket and with a folder behind storage."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.commands import ShareFolder, UnshareFolder
from contracts.envelope import Context
from contracts.errors import NotFoundError, ShunterError
from contracts.events import FileRefused, FileStored
from contracts.file_commands import MakeFolder
from contracts.files import Folder
from contracts.grants import Grant, Right
from contracts.model import now
from contracts.queries import FreezeInputs
from contracts.spec import Input
from contracts.transfers import DownloadFolder, FormUpload, OpenForm
from services.chassis.bus import Bus
from services.chassis.unit import UnitOfWork
from services.storage.adoption import Adoption
from services.storage.form_store import OpenedForm, forms_of
from services.storage.forms import FormService
from services.storage.keys import owner_folder
from services.storage.objects import Objects
from services.storage.rules import Quotas
from services.storage.settings import StorageSettings
from services.storage.tables import FORMS, OUTBOX, UPLOADS
from tests.support.servers import S3, run_nats
from tests.support.storage import User, digest_of, fetch, folder_settings, opened, run_storage, storage_settings

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["s3", "folder"])
async def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, s3: S3
) -> AsyncIterator[tuple[Bus, StorageSettings]]:
    folder: Path = tmp_path_factory.mktemp("storage")
    async with run_nats(folder) as nats:
        settings = storage_settings(folder, nats, s3) if request.param == "s3" else folder_settings(folder, nats)
        async with run_storage(settings) as bus:
            yield bus, settings


@pytest.fixture
def ada(served: tuple[Bus, StorageSettings]) -> User:
    return User(served[0])


async def _post(form: FormUpload, name: str, content: bytes) -> int:
    async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
        files = {"file": (name, content, "text/plain")}
        return (await http.post(form.url, data=form.fields, files=files)).status_code


async def _form(user: User, folder: str = "data/d1", **more: object) -> FormUpload:
    form: FormUpload = await user.ask(OpenForm(principal=user.principal, folder=folder, **more))
    return form


async def test_files_of_a_form_are_there_for_whoever_looks(ada: User) -> None:
    form = await _form(ada)
    assert (form.folder, form.expires_at > now() + timedelta(seconds=590)) == ("data/d1", True)
    assert await _post(form, "a b é.csv", b"1,2") == 204
    record = await ada.get("data/d1/a b é.csv")
    assert (record.size, record.sha256, record.content_type) == (3, digest_of(b"1,2"), "text/csv")
    assert await _post(form, "b", b"") == 204
    assert [item.path for item in (await ada.page(prefix="data/")).items] == ["data/d1/a b é.csv", "data/d1/b"]
    assert await _post(form, "c", b"frozen") == 204
    query = FreezeInputs(principal=ada.principal, inputs=[Input(source="data/d1/c")])
    assert (await ada.ask(query)).inputs[0].sha256 == digest_of(b"frozen")
    assert {event.path for event in await ada.events(FileStored, 3)} == {
        f"data/d1/{name}" for name in ("a b é.csv", "b", "c")
    }


async def test_a_job_finds_what_came_by_forms_of_its_folders_those_above_and_those_below(ada: User) -> None:
    forms = {folder: await _form(ada, folder) for folder in ("of/one", "of/one/deep", "of", "elsewhere")}
    for folder, form in forms.items():
        assert await _post(form, f"in-{folder.replace('/', '-')}", b"x") == 204
    query = FreezeInputs(principal=ada.principal, inputs=[Input(source="of/one", path="there", folder=True)])
    found = {item.source for item in (await ada.ask(query)).inputs}
    assert found == {"of/one/in-of-one", "of/one/deep/in-of-one-deep"}
    above = FreezeInputs(principal=ada.principal, inputs=[Input(source="of/in-of")])
    assert [item.source for item in (await ada.ask(above)).inputs] == ["of/in-of"]
    assert "elsewhere/in-elsewhere" in {item.path for item in (await ada.page(prefix="elsewhere/")).items}


async def test_the_same_name_again_replaces_and_what_is_deleted_stays_away(ada: User) -> None:
    form = await _form(ada)
    for content in (b"one", b"two", b"one"):
        assert await _post(form, "x", content) == 204
        assert (await ada.get("data/d1/x")).sha256 == digest_of(content)
    assert await ada.delete("data/d1/x") == 1
    with pytest.raises(NotFoundError):
        await ada.get("data/d1/x")
    assert await _post(form, "y", b"only just") == 204
    assert await ada.delete("data/d1/y") == 1


async def test_a_form_leads_to_its_folder_only(ada: User) -> None:
    for folder in ("jobs", "jobs/x"):
        with pytest.raises(ShunterError, match="jobs"):
            await _form(ada, folder)
    root = await _form(ada, "")
    assert await _post(root, "at the top", b"1") == 204
    assert await _post(root, "jobs", b"1") == 204
    await _post(root, "../../up", b"1")
    found = {item.path for item in (await ada.page()).items}
    assert found <= {"at the top", "up"}
    (refused,) = await ada.events(FileRefused)
    assert (refused.path, refused.size) == ("jobs", 1)
    stranger = User(ada.bus)
    with pytest.raises(NotFoundError):
        await _form(stranger, "data", owner=ada.principal.subject)


async def test_a_guest_who_is_not_let_in_any_more_brings_nothing(ada: User) -> None:
    guest, owner = User(ada.bus), ada.principal.subject
    share = ShareFolder(
        principal=ada.principal, path="ours", grantee=f"user:{guest.principal.subject}", right=Right.CONTROL
    )
    await ada.order(share, Grant)
    form = await _form(guest, "ours", owner=owner)
    assert await _post(form, "first", b"1") == 204
    assert (await guest.get("ours/first", owner)).owner == owner
    await ada.order(UnshareFolder(principal=ada.principal, path="ours", grantee=share.grantee), Grant)
    assert await _post(form, "second", b"2") == 204
    assert [item.path for item in (await ada.page()).items] == ["ours/first"]
    (refused,) = await ada.events(FileRefused)
    assert refused.path == "ours/second"


async def test_what_a_quota_has_no_room_for_is_refused(ada: User) -> None:
    await ada.rule("small", quota=10)
    form = await _form(ada, "small")
    assert await _post(form, "fits", b"x" * 8) == 204
    assert (await ada.get("small/fits")).size == 8
    assert await _post(form, "too much", b"x" * 3) == 204
    assert await _post(form, "fits", b"y" * 10) == 204
    assert [(item.path, item.size) for item in (await ada.page()).items] == [("small/fits", 10)]
    (refused,) = await ada.events(FileRefused)
    assert (refused.path, "no room" in refused.message) == ("small/too much", True)


async def test_a_form_that_is_over_leaves_nothing_over(ada: User, served: tuple[Bus, StorageSettings]) -> None:
    form = await _form(ada)
    assert await _post(form, "late", b"nobody looked") == 204
    async with opened(served[1]) as (unit, objects):
        service = FormService(unit=unit, objects=objects, adoption=_adoption(unit, objects))
        async with unit.begin(_context()) as work:
            (row,) = await forms_of(work.connection, ada.principal.subject)
            await _expire(work.connection, row)
        assert await service.sweep() >= 1
        async with unit.reading() as connection:
            assert await forms_of(connection, ada.principal.subject) == []
        assert await objects.arrivals(f"_forms/{row.id}/") == []
    record = await ada.get("data/d1/late")
    assert record.sha256 == digest_of(b"nobody looked")
    content = await ada.ask(DownloadFolder(principal=ada.principal, path="data"))
    assert (await fetch(content.items[0].url)).content == b"nobody looked"


async def test_two_who_look_make_one_file(ada: User, served: tuple[Bus, StorageSettings]) -> None:
    form = await _form(ada)
    assert await _post(form, "once", b"once") == 204
    async with opened(served[1]) as (unit, objects), opened(served[1]) as (other, others):
        async with unit.reading() as connection:
            (row,) = await forms_of(connection, ada.principal.subject)
        looks = [_adoption(unit, objects).of(row), _adoption(other, others).of(row)]
        await asyncio.gather(*looks, ada.get("data/d1/once"))
        owner = ada.principal.subject
        async with unit.reading() as connection:
            own = UPLOADS.c.key.startswith(owner_folder(owner))
            under_way = await connection.execute(select(UPLOADS.c.key).where(own))
            said = (await connection.execute(select(OUTBOX.c.payload))).scalars()
            assert under_way.all() == []
            assert sum(owner.encode() in payload for payload in said) == 1


async def test_a_folder_is_downloaded_page_by_page(ada: User) -> None:
    for name in ("a", "b/c", "d"):
        await ada.put(f"data/{name}", name.encode())
    await ada.put("data2", b"not in it")
    found: dict[str, bytes] = {}
    cursor = None
    while True:
        page = await ada.ask(DownloadFolder(principal=ada.principal, path="data", limit=2, cursor=cursor))
        for item in page.items:
            found[item.file.path] = (await fetch(item.url)).content
        if (cursor := page.next_cursor) is None:
            break
    assert found == {"data/a": b"a", "data/b/c": b"b/c", "data/d": b"d"}
    await ada.order(MakeFolder(principal=ada.principal, path="data/new"), Folder)
    page = await ada.ask(DownloadFolder(principal=ada.principal, path="data"))
    assert page.folders == ["data/new"]
    empty = await ada.ask(DownloadFolder(principal=ada.principal, path="data/new"))
    assert (empty.items, empty.folders) == ([], [])
    with pytest.raises(NotFoundError):
        await ada.ask(DownloadFolder(principal=ada.principal, path="dat"))
    with pytest.raises(NotFoundError):
        await ada.ask(DownloadFolder(principal=User(ada.bus).principal, owner=ada.principal.subject, path="data"))


async def _expire(connection: AsyncConnection, form: OpenedForm) -> None:
    past = now() - timedelta(hours=2)
    await connection.execute(update(FORMS).where(FORMS.c.id == form.id).values(expires_at=past))


def _context() -> Context:
    return Context.start("service:test")


def _adoption(unit: UnitOfWork, objects: Objects) -> Adoption:
    return Adoption(unit=unit, objects=objects, quotas=Quotas(None))
