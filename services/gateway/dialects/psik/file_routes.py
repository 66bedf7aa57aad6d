"""`/jobs/{jobid}/files`: the working folder of a job."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from contracts.errors import ForbiddenError, NotFoundError, TooLargeError
from services.gateway.api.downloads import answer_file
from services.gateway.dialects.details import json_body
from services.gateway.dialects.uploads import BYTES, FILE, form_body, required_files
from services.gateway.lean import Router

from .files import WorkFiles, clean_name, put_file
from .jobs import Chain
from .models import FileStat, Stat
from .routes import declare
from .visits import BackendName, Visit, Visiting

__all__ = ["brings_file", "file_router"]


_MOST_SIZE = 5 * 2**40
_UPLOAD = re.compile(r"/v[12]/jobs/[^/]+/files(/.*)?")

_FORM = form_body("files", {"type": "array", "items": FILE})
_RAW: dict[str, Any] = {"requestBody": {"required": True, "content": BYTES}}
_CONTENT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The bytes of the file, or what lies in the folder.",
        "content": {
            **BYTES,
            "application/json": {"schema": {"type": "object"}},
        },
    },
    206: {"description": "The bytes of the range."},
    304: {"description": "It is as the client has it."},
    416: {"description": "There are no such bytes."},
}


def brings_file(method: str, path: str) -> bool:
    """Say whether a request's body is files."""
    return method in {"POST", "PUT"} and bool(_UPLOAD.fullmatch(path))


async def _folder(visit: Visit, chain: Chain) -> WorkFiles:
    return await WorkFiles.of(visit.services, chain.jobid, chain.runs)


def _stats(visit: Visit, found: dict[str, FileStat]) -> Response:
    fields = None if visit.version > 1 else set(Stat.model_fields)
    return json_body({name: stat.model_dump(include=fields) for name, stat in found.items()})


async def list_files(jobid: str, visit: Visiting, backend: BackendName = None) -> Response:
    """List what lies in the working folder: before a start the uploads, after the end what was left behind."""
    folder = await _folder(visit, await visit.chain(jobid, backend))
    return _stats(visit, folder.listing() or {})


async def get_file(
    jobid: str,
    fname: str,
    visit: Visiting,
    backend: BackendName = None,
    range_: Annotated[str | None, Header(alias="Range")] = None,
    if_none_match: Annotated[str | None, Header(alias="If-None-Match")] = None,
    if_range: Annotated[str | None, Header(alias="If-Range")] = None,
) -> Response:
    """Download a file; of a folder list what lies in it."""
    chain = await visit.chain(jobid, backend)
    path = clean_name(fname)
    folder = await _folder(visit, chain)
    if found := folder.listing(path):
        return _stats(visit, found)
    url = await folder.url(path)
    streams = visit.services.streams()
    answer = await answer_file(streams, url, path, wanted=range_, condition=if_none_match, if_range=if_range)
    answer.headers["content-type"] = "application/octet-stream"
    return answer


async def post_files(jobid: str, request: Request, visit: Visiting, backend: BackendName = None) -> Response:
    """Upload files as a form, each in a field `files`."""
    chain = await _own(visit, jobid, backend)
    most = int(visit.desk.settings.most_multipart)
    try:
        async with required_files(request, "files", most) as files:
            folder = await _folder(visit, chain)
            paths = [_place(folder, file.name) for file in files]
            for path, file in zip(paths, files, strict=True):
                await put_file(visit.services, jobid, chain.next_run, path, file.pieces(), file.size)
    except TooLargeError:
        told = f"a form has at most {most} bytes; larger files go to /jobs/{{jobid}}/files/{{path}}"
        raise HTTPException(413, told) from None
    return json_body(None)


async def put_raw(jobid: str, fname: str, request: Request, visit: Visiting, backend: BackendName = None) -> Response:
    """Upload a file as it is: what `curl --upload-file` sends, as POST or PUT, without a content type."""
    chain = await _own(visit, jobid, backend)
    path = _place(await _folder(visit, chain), fname)
    await put_file(visit.services, jobid, chain.next_run, path, request.stream(), _length(request))
    return json_body(None)


async def _own(visit: Visit, jobid: str, backend: str | None) -> Chain:
    chain = await visit.chain(jobid, backend)
    if chain.last.owner != visit.services.caller.principal.subject:
        raise ForbiddenError("only its owner may give a job files")
    return chain


def _place(folder: WorkFiles, name: str | None) -> str:
    if not name:
        raise NotFoundError("Cannot upload file with no name.")
    if name != PurePosixPath(name).as_posix() and name.endswith("/"):
        raise NotFoundError(f"Invalid path: {name}")
    path = clean_name(name)
    folder.require_place(path)
    return path


def _length(request: Request) -> int | None:
    """Return what the client says of the body's size; None where it does not."""
    text = request.headers.get("content-length")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 15 or int(text) > _MOST_SIZE:
        raise HTTPException(413, f"a file has at most {_MOST_SIZE} bytes")
    return int(text)


def file_router(version: int) -> APIRouter:
    """Return the routes."""
    router = Router(tags=["jobs"])
    stats = dict[str, Stat] if version == 1 else dict[str, FileStat]
    base, one = "/jobs/{jobid}/files", "/jobs/{jobid}/files/{fname:path}"
    declare(router, "GET", base, list_files, answer=stats, twin=True, summary="List the files of a job")
    declare(router, "POST", base, post_files, twin=True, summary="Upload files as a form", openapi_extra=_FORM)
    declare(router, "GET", one, get_file, summary="Download a file, or list a folder", responses=_CONTENT)
    declare(router, "POST", one, put_raw, summary="Upload a file", openapi_extra=_RAW)
    declare(router, "PUT", one, put_raw, summary="Upload a file", openapi_extra=_RAW)
    return router
