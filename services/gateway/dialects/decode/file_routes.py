"""`/files`: list, fetch, upload, rename, delete."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Header, Query, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from contracts.errors import InvalidError, NotFoundError
from contracts.spec import clean_path
from services.gateway.api.downloads import answer_file, answer_zip
from services.gateway.dialects.details import json_body
from services.gateway.dialects.uploads import BYTES, FILE, announced, form_body, required_files
from services.gateway.forms import FormFile
from services.gateway.lean import Router
from services.gateway.zips import ZipEntry, zip_pieces

from .files import NotEmptyError, Place, UserFiles, file_info, read_place
from .models import FileHTTPRequest, FileInfo, FileUpdate, UploadFileTypes
from .requests import request_beside
from .routes import declare
from .visits import Visit, Visiting

__all__ = ["brings_file", "file_router"]

_UPLOAD = re.compile(r"/files/[^/]+/.*upload")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9._/-]+")

_FORM = form_body("file", FILE)
_BYTES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The bytes of the file, or a zip of the folder.",
        "content": {
            **BYTES,
            "application/zip": {"schema": FILE},
        },
    },
    206: {"description": "The bytes of the range."},
    304: {"description": "It is as the client has it."},
    416: {"description": "There are no such bytes."},
}


def brings_file(method: str, path: str) -> bool:
    """Say whether a request's body is a file."""
    return method == "POST" and bool(_UPLOAD.fullmatch(path))


def _files(visit: Visit) -> UserFiles:
    return UserFiles(visit.services.files(), visit.settings.areas)


def _place(path: str) -> Place:
    """Return the place that an address names; what leads out is not there."""
    try:
        return read_place(path)
    except ValueError:
        raise _nothing() from None


def _nothing() -> HTTPException:
    return HTTPException(404, "Not Found")


async def list_files(
    base_path: str,
    visit: Visiting,
    show_dirs: Annotated[bool, Query(description="Whether folders are listed too.")] = True,
    recursive: Annotated[bool, Query(description="Whether what lies in folders is listed too.")] = False,
) -> Response:
    """List what lies in a folder."""
    try:
        found = await _files(visit).listing(_place(base_path), show_dirs=show_dirs, recursive=recursive)
    except NotFoundError:
        raise _nothing() from None
    return json_body([info.model_dump(mode="json") for info in found])


async def download_file(
    file_path: str,
    visit: Visiting,
    range_: Annotated[str | None, Header(alias="Range")] = None,
    if_none_match: Annotated[str | None, Header(alias="If-None-Match")] = None,
    if_range: Annotated[str | None, Header(alias="If-Range")] = None,
) -> Response:
    """Download a file; a folder, whose path ends with `/`, as a zip."""
    place, streams = _place(file_path), visit.services.streams()
    try:
        if place.is_folder:
            return await _zip(visit, place)
        url = await visit.services.files().url(place.path, None)
    except NotFoundError:
        raise _nothing() from None
    return await answer_file(streams, url, place.path, wanted=range_, condition=if_none_match, if_range=if_range)


async def _zip(visit: Visit, place: Place) -> Response:
    """Answer with a folder as a zip; an area in which nothing lies is an empty one."""
    try:
        pieces = await visit.services.streams().zip_stream(place.path)
    except NotFoundError:
        if not _files(visit).is_fixed(place):
            raise
        pieces = zip_pieces(_no_entries())
    answer = answer_zip(pieces, place.path)
    answer.headers["content-disposition"] = f"attachment; {_file_name(place.path)}"
    return answer


async def _no_entries() -> AsyncIterator[ZipEntry]:
    nothing: tuple[ZipEntry, ...] = ()
    for entry in nothing:
        yield entry


def _file_name(folder: str) -> str:
    """Return the name of a zip as a header says it: with the folders before it."""
    name = f"{folder or 'files'}.zip"
    return f"filename={name}" if _PLAIN_NAME.fullmatch(name) else f"filename*=UTF-8''{quote(name, safe='/')}"


async def get_download_url(file_path: str, request: Request, visit: Visiting) -> Response:
    """Say how a file is downloaded."""
    place = _place(file_path)
    try:
        if place.is_folder and not await _files(visit).is_folder(place):
            raise _nothing()
        lifetime = visit.settings.transfer_lifetime
        url = None if place.is_folder else await visit.services.files().url(place.path, None, lifetime)
    except NotFoundError:
        raise _nothing() from None
    if url is not None and visit.settings.transfers == "store":
        return _told(FileHTTPRequest(method="get", url=url.url))
    return _told(request_beside(request, "get", "download"))


async def get_upload_url(f_type: UploadFileTypes, base_path: str, request: Request, visit: Visiting) -> Response:
    """Say how files are uploaded into a folder, each in a form of its own."""
    folder = _inside(f_type, base_path)
    if visit.settings.transfers == "store":
        form = await visit.services.streams().form_upload(folder, expires=visit.settings.transfer_lifetime)
        return _told(FileHTTPRequest(method="post", url=form.url, data=form.fields), status=201)
    return _told(request_beside(request, "post", "upload"), status=201)


def _told(request: FileHTTPRequest, *, status: int = 200) -> Response:
    return json_body(request.model_dump(), status=status)


async def upload_file(f_type: UploadFileTypes, base_path: str, request: Request, visit: Visiting) -> Response:
    """Upload a file as a form, in a field `file`; it is kept under its own name."""
    folder = _inside(f_type, base_path)
    if size := announced(request):
        await visit.services.streams().check_room(folder, size)
    async with required_files(request, "file", int(visit.settings.most_form)) as (file, *_):
        info = await _keep(visit, folder, file)
    return json_body(info.model_dump(mode="json"), status=201)


async def _keep(visit: Visit, folder: str, file: FormFile) -> FileInfo:
    try:
        path = f"{folder}/{clean_path(file.name)}"
    except ValueError as error:
        raise InvalidError(f"file: {error}") from None
    record = await visit.services.streams().put_stream(
        path, file.pieces(), size=file.size, content_type=file.content_type
    )
    return file_info(record)


def _inside(f_type: UploadFileTypes, base_path: str) -> str:
    place = _place(base_path)
    return f"{f_type}/{place.path}" if place.path else f_type.value


async def create_directory(f_type: UploadFileTypes, base_path: str, visit: Visiting) -> Response:
    """Make a folder; one that is there stays."""
    folder = _inside(f_type, base_path)
    if folder not in visit.settings.areas:
        await visit.services.files().make_folder(folder)
    return json_body(None, status=201)


async def rename_file(file_path: str, update: FileUpdate, visit: Visiting) -> Response:
    """Give a file, or an empty folder, another name, which is its whole path."""
    files, place = _files(visit), _place(file_path)
    if files.is_fixed(place):
        raise HTTPException(405, "Cannot rename a predefined directory")
    try:
        to = read_place(update.path)
    except ValueError as error:
        raise InvalidError(f"path: {error}") from None
    if files.is_fixed(to):
        raise InvalidError("path: that place is always there")
    try:
        info = await files.rename(place, to)
    except NotFoundError:
        raise _nothing() from None
    except NotEmptyError:
        raise HTTPException(405, "Cannot rename a non-empty directory") from None
    return json_body(info.model_dump(mode="json"))


async def delete_file(file_path: str, visit: Visiting) -> Response:
    """Delete a file, or a folder with all that is in it. The predefined folders stay, empty."""
    try:
        place = read_place(file_path)
    except ValueError:
        return Response(status_code=204)
    await _files(visit).delete(place)
    return Response(status_code=204)


def file_router() -> APIRouter:
    """Return the routes. Paths keep their double slashes: clients write folders so."""
    router = Router(tags=["Files"])
    one, into = "/files/{file_path:path}", "/files/{f_type}/{base_path:path}"
    declare(router, "GET", f"{one}/download", download_file, responses=_BYTES, summary="Download a file or a folder")
    declare(router, "GET", f"{one}/url", get_download_url, answer=FileHTTPRequest, summary="How to download a file")
    declare(router, "GET", "/files/{base_path:path}", list_files, answer=list[FileInfo], summary="List a folder")
    declare(
        router,
        "POST",
        f"{into}/upload",
        upload_file,
        answer=FileInfo,
        status=201,
        openapi_extra=_FORM,
        summary="Upload a file",
    )
    declare(
        router,
        "POST",
        f"{into}/url",
        get_upload_url,
        answer=FileHTTPRequest,
        status=201,
        summary="How to upload files into a folder",
    )
    declare(router, "POST", f"{into}/", create_directory, status=201, summary="Make a folder")
    declare(router, "PUT", one, rename_file, answer=FileInfo, summary="Rename a file or an empty folder")
    declare(router, "DELETE", one, delete_file, status=204, summary="Delete a file or a folder")
    return router
