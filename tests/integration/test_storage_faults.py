"""The object store fails in the middle of things: what was there stays, what was half there goes on or goes away."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from contracts.commands import CompleteUpload
from contracts.envelope import Context
from contracts.errors import InvalidError, NotFoundError, UnavailableError
from contracts.events import FileStored
from contracts.files import FileRecord, PartDone
from contracts.transfers import OpenForm
from services.chassis.bus import Bus
from services.chassis.settings import NatsSettings
from tests.support.fault_proxy import FaultProxy, Mode, run_proxy
from tests.support.servers import S3
from tests.support.storage import PART, User, digest_of, fetch, put_part, run_storage, storage_settings


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    with run_proxy() as found:
        yield found


@pytest_asyncio.fixture
async def storage_bus(tmp_path: Path, nats: NatsSettings, s3: S3, proxy: FaultProxy) -> AsyncIterator[Bus]:
    port = proxy.add("s3", int(s3.endpoint.rpartition(":")[2]))
    settings = storage_settings(tmp_path, nats, S3(f"127.0.0.1:{port}", s3.access_key, s3.secret_key))
    async with run_storage(settings) as found:
        yield found


async def test_a_store_that_goes_away_in_mid_multipart_costs_the_missing_parts_only(
    ada: User, proxy: FaultProxy
) -> None:
    content = os.urandom(PART) + b"the end"
    plan = await ada.open("a.bin", content, sha256=digest_of(content))
    first = await put_part(plan.parts[0], content)
    proxy.set("s3", Mode.CUT)
    with pytest.raises(httpx.TransportError):
        await put_part(plan.parts[1], content)
    with pytest.raises(UnavailableError):
        await ada.resume(plan.ticket)
    with pytest.raises(NotFoundError):
        await ada.get("a.bin")
    # What is ordered meanwhile is kept; it is obeyed when the store is back, and refused, for a part is missing.
    context = Context.start(f"user:{ada.principal.subject}")
    early = ada.bus.order(CompleteUpload(ticket=plan.ticket, parts=[first]), context, wait=30, answer=FileRecord)
    waiting = asyncio.create_task(early)
    await asyncio.sleep(0.2)
    assert not waiting.done()
    proxy.heal()
    with pytest.raises(InvalidError, match="missing"):
        await waiting
    again = await ada.resume(plan.ticket)
    assert [part.number for part in again.parts] == [2]
    record = await ada.complete(plan, [*again.done, await put_part(again.parts[0], content)])
    assert record.sha256 == digest_of(content)
    assert [event.path for event in await ada.events(FileStored)] == ["a.bin"]


async def test_a_part_that_is_not_what_was_sent_is_named(ada: User) -> None:
    content = os.urandom(PART) + b"the end"
    plan = await ada.open("a.bin", content)
    done = [await put_part(part, content) for part in plan.parts]
    said = [PartDone(**{**part.model_dump(), "sha256": digest_of(b"other")}) for part in done]
    said[0] = said[0].model_copy(update={"sha256": digest_of(content[:PART])})
    with pytest.raises(InvalidError) as refused:
        await ada.complete(plan, said)
    assert [error.field for error in refused.value.errors] == ["parts.2.sha256"]
    with pytest.raises(NotFoundError):
        await ada.get("a.bin")
    plan = await ada.open("a.bin", content)
    right = [
        (await put_part(part, content)).model_copy(
            update={"sha256": digest_of(content[part.offset : part.offset + part.size])}
        )
        for part in plan.parts
    ]
    assert (await ada.complete(plan, right)).sha256 == digest_of(content)


async def test_a_slow_store_is_slow_and_nothing_else(ada: User, proxy: FaultProxy) -> None:
    proxy.set("s3", Mode.SLOW, delay=0.05)
    record = await ada.put("slow.bin", os.urandom(300_000))
    assert (await ada.get("slow.bin")).sha256 == record.sha256


async def test_files_are_told_of_while_the_store_of_a_form_is_away(ada: User, proxy: FaultProxy) -> None:
    record = await ada.put("there", b"1")
    form = await ada.ask(OpenForm(principal=ada.principal, folder="in"))
    async with httpx.AsyncClient(trust_env=False) as http:
        (await http.post(form.url, data=form.fields, files={"file": ("new", b"2")})).raise_for_status()
    proxy.set("s3", Mode.CUT)
    assert await ada.get("there") == record
    with pytest.raises(NotFoundError):
        await ada.get("in/new")
    proxy.heal()
    assert (await ada.get("in/new")).sha256 == digest_of(b"2")
    assert (await fetch(await _url(ada, "in/new"))).content == b"2"


async def _url(user: User, path: str) -> str:
    from contracts.queries import DownloadFile

    return str((await user.ask(DownloadFile(principal=user.principal, path=path))).url)
