"""The folder store over HTTP: does what a signed URL says, as an S3 server would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path, PurePosixPath

from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from contracts.errors import ForbiddenError, InvalidError, NotFoundError, ShunterError, TooLargeError, UnavailableError
from services.chassis.multipart import read_form
from services.storage.disposition import attachment
from services.storage.faults_disk import FullError

from .disk import Disk, Incoming
from .doors import OBJECTS, Door
from .objects import FolderObjects

__all__ = ["object_routes"]

_PIECE = 2**20
_LARGEST = 5 * 2**30
"""Bytes of one PUT, as with S3."""

_ALWAYS = {
    # What is signed may be asked for from any page: the signature is the permission.
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "ETag, Content-Range, Content-Disposition",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "X-Content-Type-Options": "nosniff",
}
_PREFLIGHT = {"Access-Control-Allow-Methods": "GET, HEAD, PUT, POST", "Access-Control-Allow-Headers": "*"}

_STATUS: tuple[tuple[type[ShunterError], int], ...] = (
    (ForbiddenError, 403),
    (NotFoundError, 404),
    (TooLargeError, 413),
    (InvalidError, 400),
    (FullError, 507),
    (UnavailableError, 503),
)

_Handler = Callable[[FolderObjects, Request], Awaitable[Response]]


class _Bytes(FileResponse):
    chunk_size = _PIECE


def object_routes(objects: FolderObjects) -> list[Route]:
    """Return the routes that serve what *objects* signs."""

    def serve(handler: _Handler) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            try:
                return await handler(objects, request)
            except ClientDisconnect:
                return Response(status_code=400)
            except ShunterError as error:
                status = next((code for kind, code in _STATUS if isinstance(error, kind)), 500)
                return Response(str(error), status, _ALWAYS, media_type="text/plain")

        return answer

    one = f"{OBJECTS}/{{signature}}"
    return [
        Route(one, serve(_get), methods=["GET", "HEAD"]),
        Route(one, serve(_put), methods=["PUT"]),
        Route(OBJECTS, serve(_post), methods=["POST"]),
        Route(one, serve(_preflight), methods=["OPTIONS"]),
        Route(OBJECTS, serve(_preflight), methods=["OPTIONS"]),
    ]


async def _preflight(_objects: FolderObjects, _request: Request) -> Response:
    return Response(status_code=204, headers={**_ALWAYS, **_PREFLIGHT})


def _door(objects: FolderObjects, signature: str, *does: str) -> Door:
    door = objects.doors.read(signature)
    if door.does not in does:
        raise ForbiddenError("the URL is for something else")
    return door


async def _get(objects: FolderObjects, request: Request) -> Response:
    door = _door(objects, request.path_params["signature"], "get")
    place = objects.disk.place(door.key)
    found = await objects.call(place.stat)
    headers = {**_ALWAYS, **({"Content-Disposition": attachment(door.filename)} if door.filename else {})}
    media_type = door.content_type or "application/octet-stream"
    return _Bytes(place, headers=headers, media_type=media_type, stat_result=found)


async def _put(objects: FolderObjects, request: Request) -> Response:
    door = _door(objects, request.path_params["signature"], "put", "part")

    if door.does == "part":  # refused before its bytes come, if the upload is over
        await objects.parts(door.key, door.upload_id)
    announced = request.headers.get("content-length", "")
    size = int(announced) if announced.isdecimal() else None
    etag = await _take(objects, request.stream(), _LARGEST, size, partial(_settle_by, door))
    return Response(headers={**_ALWAYS, "ETag": f'"{etag}"'})


async def _post(objects: FolderObjects, request: Request) -> Response:
    fields: dict[str, str] = {}
    async for part in read_form(request.headers.get("content-type", ""), request.stream()):
        if part.name != "file" or part.filename is None:
            fields[part.name.lower()] = await part.text()
            continue
        door = _door(objects, fields.get("policy", ""), "form")
        key = _key_of(door, fields.get("key", ""), part.filename)
        etag = await _take(objects, part.pieces, door.most, None, partial(_settle_at, key))
        return Response(status_code=204, headers={**_ALWAYS, "ETag": f'"{etag}"'})
    raise InvalidError.of("file", "must be there, after the other fields")


def _settle_by(door: Door, disk: Disk, coming: Path, etag: str) -> None:
    if door.does == "part":
        disk.put_part(coming, door.upload_id, door.number, etag)
    else:
        disk.put(coming, door.key)


def _settle_at(key: str, disk: Disk, coming: Path, _etag: str) -> None:
    disk.put(coming, key)


def _key_of(door: Door, key: str, filename: str) -> str:
    """Return where a file of a form goes: right below the prefix, under the last part of its own name."""
    name = PurePosixPath(filename.replace("\\", "/")).name
    wanted = key.replace("${filename}", name)
    below = wanted.removeprefix(door.key)
    if not wanted.startswith(door.key) or "/" in below:
        raise ForbiddenError("the form is for another folder")
    if below in {"", ".", ".."} or not below.isprintable() or len(below.encode()) > 255:
        raise InvalidError.of("file", "its name is none that a file can have")
    return wanted


async def _take(
    objects: FolderObjects,
    chunks: AsyncIterator[bytes],
    most: int,
    announced: int | None,
    settle: Callable[[Disk, Path, str], None],
) -> str:
    """Take bytes to the disk, and put them in their place when all have come; return their checksum."""
    if (announced or 0) > most:
        raise TooLargeError(f"at most {most} bytes are taken")
    if not objects.disk.has_room(announced or 0):
        raise FullError
    incoming = objects.disk.incoming()
    file, coming = await objects.call(incoming.__enter__)
    try:
        await _fill(objects, file, chunks, most)
        if announced is not None and file.size != announced:
            raise InvalidError.of("body", "is not as long as was said")
        etag = await objects.call(file.end)
        await objects.call(partial(settle, objects.disk, coming, etag))
    finally:
        await objects.call(partial(incoming.__exit__, None, None, None))
    return etag


async def _fill(objects: FolderObjects, file: Incoming, chunks: AsyncIterator[bytes], most: int) -> None:
    size, writing = 0, _Writing(objects, file)
    try:
        async for chunk in chunks:
            size += len(chunk)
            if size > most:
                raise TooLargeError(f"at most {most} bytes are taken")
            await writing.add(chunk)
        await writing.finish()
    finally:
        await writing.settle()


class _Writing:
    """Has a thread write what came, while more is coming."""

    def __init__(self, objects: FolderObjects, file: Incoming) -> None:
        self._objects = objects
        self._file = file
        self._held: list[bytes] = []
        self._size = 0
        self._last: asyncio.Future[None] | None = None

    async def add(self, chunk: bytes) -> None:
        self._held.append(chunk)
        self._size += len(chunk)
        if self._size >= _PIECE:
            await self._write_on()

    async def finish(self) -> None:
        await self._write_on()
        await self._written()

    async def settle(self) -> None:
        """Wait for the thread, however it goes: the file is about to be closed."""
        if self._last is not None:
            await asyncio.wait({self._last})

    async def _write_on(self) -> None:
        await self._written()
        held, self._held, self._size = self._held, [], 0
        self._last = asyncio.ensure_future(self._objects.call(partial(self._file.write, held)))

    async def _written(self) -> None:
        if self._last is not None:
            await self._last
