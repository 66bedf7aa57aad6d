"""Object stores for tests: a bucket of a real S3 server, and a folder that is served here."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from pydantic import SecretStr
from starlette.applications import Starlette

from services.chassis.http import serve_http
from services.chassis.settings import Server
from services.storage.folder.app import object_routes
from services.storage.folder.disk import Disk
from services.storage.folder.doors import Doors
from services.storage.folder.objects import FolderObjects
from services.storage.objects import Objects, StoredPart
from services.storage.objects_s3 import S3Objects
from services.storage.settings import S3Settings
from tests.support.servers import S3, free_ports

__all__ = ["open_bucket", "open_folder", "put_object"]


@asynccontextmanager
async def open_bucket(s3: S3, bucket: str = "files-of-tests") -> AsyncIterator[S3Objects]:
    """Open a bucket."""
    settings = S3Settings(endpoint=s3.endpoint, access_key=s3.access_key, secret_key=SecretStr(s3.secret_key))
    objects = S3Objects(settings, bucket)
    try:
        await objects.check()
        yield objects
    finally:
        objects.close()


@asynccontextmanager
async def open_folder(root: Path, *, keep_free: int = 0) -> AsyncIterator[FolderObjects]:
    """Open a folder and serve it."""
    (port,) = free_ports(1)
    doors = Doors(SecretStr("k" * 40), f"http://127.0.0.1:{port}")
    objects = FolderObjects(Disk(root, keep_free), doors, calls=4, readers=2)
    try:
        await objects.check()
        async with serve_http(Starlette(routes=object_routes(objects)), Server(port=port)):
            yield objects
    finally:
        objects.close()


async def put_object(objects: Objects, http: httpx.AsyncClient, key: str, *parts: bytes) -> None:
    """Bring an object in parts."""
    from datetime import timedelta

    upload = await objects.begin(key, "text/plain", sum(map(len, parts)))
    numbers = list(range(1, len(parts) + 1))
    urls = await objects.presign_parts(key, upload, numbers, timedelta(minutes=1))
    stored: list[StoredPart] = []
    for number, url, part in zip(numbers, urls, parts, strict=True):
        answer = (await http.put(url, content=part)).raise_for_status()
        stored.append(StoredPart(number, len(part), answer.headers["ETag"].strip('"')))
    await objects.complete(key, upload, stored)
