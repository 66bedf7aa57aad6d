"""Storage as a runner sees it: answers for tickets with URLs of a real store."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from minio import Minio
from minio.datatypes import Part as StoredPart
from nats.aio.client import Client

from contracts.commands import CompleteUpload
from contracts.envelope import Envelope
from contracts.errors import Problem, RefusedError, ShunterError, UnavailableError
from contracts.files import FileRecord, Part, UploadPlan
from contracts.ids import message_id
from contracts.model import now
from contracts.queries import DownloadRunInputs, OpenRunUpload, Reply, RunDownloads
from contracts.runs import FrozenInput
from contracts.subjects import command_filter, query_subject
from tests.support.servers import S3

__all__ = ["RunStorage", "run_storage"]

_PART = 5 * 2**20


class RunStorage:
    """Keeps what a runner brings home under its path, in a bucket of the test's own."""

    def __init__(self, s3: S3) -> None:
        self.bucket = f"test-{message_id()}"
        self.stored: dict[str, FileRecord] = {}
        self.elsewhere: dict[str, str] = {}
        """The folders into which some of it was to go."""
        self.away = 0
        """How many questions go unanswered first."""
        self.refuses = ""
        """The path that is refused."""
        self._client = Minio(s3.endpoint, s3.access_key, s3.secret_key, secure=False, region="us-east-1")
        self._open: dict[str, tuple[OpenRunUpload, str]] = {}
        self._client.make_bucket(self.bucket)

    def add(self, target: str, content: bytes, *, sha256: str | None = None) -> FrozenInput:
        """Keep an input."""
        key = f"in/{message_id()}"
        self._client.put_object(self.bucket, key, io.BytesIO(content), len(content))
        digest = sha256 or hashlib.sha256(content).hexdigest()
        return FrozenInput(source=target, target=target, key=key, size=len(content), sha256=digest)

    def read(self, path: str) -> bytes:
        """Return what was brought home."""
        response = self._client.get_object(self.bucket, self.stored[path].key)
        try:
            return response.read()
        finally:
            response.close()
            response.release_conn()

    def close(self) -> None:
        """Hang up."""
        self._client._http.clear()

    def answer(self, subject: str, raw: bytes) -> Any:
        """Answer one question."""
        if self.away:
            self.away -= 1
            raise UnavailableError("storage is away")
        if subject == query_subject(DownloadRunInputs):
            asked = DownloadRunInputs.model_validate_json(raw)
            return RunDownloads(urls={item.target: self._get_url(item.key) for item in asked.inputs})
        if subject == query_subject(OpenRunUpload):
            return self._open_upload(OpenRunUpload.model_validate_json(raw))
        return self._complete(Envelope.from_bytes(raw).unwrap(CompleteUpload))

    def _get_url(self, key: str) -> str:
        return self._client.presigned_get_object(self.bucket, key, timedelta(hours=1))

    def _open_upload(self, asked: OpenRunUpload) -> UploadPlan:
        if asked.path == self.refuses:
            raise RefusedError(f"{asked.path} is over the quota")
        key = f"out/{message_id()}"
        upload = self._client._create_multipart_upload(self.bucket, key, {})
        ticket = message_id()
        self._open[ticket] = (asked, f"{key} {upload}")
        parts = [
            Part(
                number=number,
                offset=offset,
                size=min(_PART, asked.size - offset),
                url=self._put_url(key, upload, number),
            )
            for number, offset in enumerate(range(0, max(asked.size, 1), _PART), start=1)
        ]
        return UploadPlan(ticket=ticket, part_size=_PART, parts=parts, expires_at=now() + timedelta(hours=1))

    def _put_url(self, key: str, upload: str, number: int) -> str:
        return self._client.get_presigned_url(
            "PUT", self.bucket, key, extra_query_params={"partNumber": str(number), "uploadId": upload}
        )

    def _complete(self, command: CompleteUpload) -> FileRecord:
        asked, place = self._open[command.ticket]
        key, upload = place.split(" ")
        parts = [StoredPart(part.number, part.etag) for part in command.parts]
        self._client._complete_multipart_upload(self.bucket, key, upload, parts)
        record = FileRecord(
            path=asked.path, owner="ada", size=asked.size, sha256=asked.sha256, created_at=now(), key=key
        )
        self.stored[asked.path] = record
        if asked.to is not None:
            self.elsewhere[asked.path] = asked.to
        return record


@asynccontextmanager
async def run_storage(connection: Client, s3: S3) -> AsyncIterator[RunStorage]:
    """Answer runners while the block runs."""
    storage = RunStorage(s3)

    async def answer(message: Any) -> None:
        reply: Reply[Any]
        try:
            reply = Reply(answer=await asyncio.to_thread(storage.answer, message.subject, message.data))
        except ShunterError as error:
            reply = Reply(problem=Problem(code=error.code, detail=error.detail))
        inbox = (message.headers or {}).get("Shunter-Reply-To") or message.reply
        await connection.publish(inbox, reply.model_dump_json().encode())

    for subject in (query_subject(DownloadRunInputs), query_subject(OpenRunUpload), command_filter("storage")):
        await connection.subscribe(subject, cb=answer)
    try:
        yield storage
    finally:
        storage.close()
