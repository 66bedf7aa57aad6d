"""What a job left behind goes when the job is removed, and what its runner brings late is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
import pytest_asyncio

from contracts.commands import CompleteUpload
from contracts.envelope import Context, Envelope
from contracts.errors import ConflictError, NotFoundError
from contracts.events import WorkloadRemoved
from contracts.files import UploadPlan
from contracts.ids import workload_id
from contracts.model import now
from contracts.queries import OpenRunUpload
from contracts.subjects import subject_of
from services.chassis.bus import Bus
from services.chassis.settings import NatsSettings
from tests.support.servers import S3
from tests.support.storage import User, digest_of, put_part, run_storage, run_ticket, storage_settings


@pytest_asyncio.fixture
async def bus(tmp_path: Path, nats: NatsSettings, s3: S3) -> AsyncIterator[Bus]:
    async with run_storage(storage_settings(tmp_path, nats, s3)) as bus:
        yield bus


async def _open(user: User, job: str, path: str, content: bytes) -> UploadPlan:
    plan: UploadPlan = await user.ask(
        OpenRunUpload(
            ticket=run_ticket(user.principal.subject, job), path=path, size=len(content), sha256=digest_of(content)
        )
    )
    for part in plan.parts:
        await put_part(part, content)
    return plan


async def _say_removed(user: User, job: str) -> None:
    event = WorkloadRemoved(workload_id=job, owner=user.principal.subject, revision=5, at=now())
    envelope = Envelope.wrap(event, Context.start("service:scheduler"), source="scheduler", subject=job)
    await user.bus.publish(subject_of(event), envelope.to_bytes(), envelope.id)


async def _until_gone(user: User, path: str) -> None:
    async with asyncio.timeout(10):
        with suppress(NotFoundError):
            while True:
                await user.get(path)
                await asyncio.sleep(0.02)


async def test_a_removed_jobs_files_go_and_late_ones_are_refused(bus: Bus) -> None:
    ada, job, other = User(bus), workload_id(), workload_id()
    late = await _open(ada, job, "outputs/late.txt", b"late")
    for name in (job, other):
        plan = await _open(ada, name, "outputs/a.txt", b"early")
        await ada.order(CompleteUpload(ticket=plan.ticket))
    await ada.put("data/mine.txt", b"mine")
    await _say_removed(ada, job)
    await _until_gone(ada, f"jobs/{job}/outputs/a.txt")
    with pytest.raises(ConflictError):
        await ada.order(CompleteUpload(ticket=late.ticket))
    with pytest.raises(ConflictError):
        await _open(ada, job, "outputs/later.txt", b"later")
    await _say_removed(ada, job)
    assert [file.path for file in (await ada.page()).items] == ["data/mine.txt", f"jobs/{other}/outputs/a.txt"]
