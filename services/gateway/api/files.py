"""`/v1/files`: the user's own files, through the gateway."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from fastapi import Header, Query, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from contracts.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError, OverQuotaError
from services.gateway.lean import Router

from . import examples
from .answers import answers, json_answer
from .conditional import matches, sha256_tag
from .context import FileAt, Limit, Name, Services
from .downloads import answer_file, file_headers
from .pages import next_link
from .ranges import read_range
from .views import FilePageView, FileView

__all__ = ["router"]

router = Router(prefix="/v1/files", tags=["files"])

_MAX_SIZE = 5 * 2**40
_NOT_CHANGED = {304: ("It is as the client has it.", None)}
_IfNoneMatch = Annotated[str | None, Header(alias="If-None-Match")]


@router.get(
    "",
    summary="List files",
    operation_id="listFiles",
    description="Your own, or with `owner` those that they share with you.",
    response_model=FilePageView,
    responses=answers(NotFoundError, example={"items": [examples.FILE], "folders": [], "next_cursor": None}),
)
async def list_files(
    request: Request,
    services: Services,
    prefix: Annotated[str, Query(max_length=1024, pattern=r"^[^\x00-\x1f\x7f]*$")] = "",
    recursive: Annotated[bool, Query(description="Whether to go into folders.")] = True,
    limit: Limit = 100,
    cursor: Annotated[str | None, Query(max_length=2048)] = None,
    owner: Name = None,
) -> Response:
    page = await services.files().page(prefix=prefix, recursive=recursive, limit=limit, cursor=cursor, owner=owner)
    items = [FileView.of(item) for item in page.items]
    view = FilePageView.model_construct(items=items, folders=page.folders, next_cursor=page.next_cursor)
    return json_answer(view, headers=next_link(request, page.next_cursor))


@router.get(
    "/{path:path}",
    summary="Download a file",
    operation_id="getFile",
    response_class=Response,
    responses={
        **answers(NotFoundError, media_type="application/octet-stream", binary=True),
        206: {"description": "The bytes of the range."},
        304: {"description": "It is as the client has it."},
        416: {"description": "There are no such bytes."},
    },
)
async def get_file(
    path: FileAt,
    services: Services,
    owner: Name = None,
    range_: Annotated[str | None, Header(alias="Range", examples=["bytes=0-1023"])] = None,
    if_none_match: _IfNoneMatch = None,
    if_range: Annotated[str | None, Header(alias="If-Range")] = None,
) -> Response:
    url = await services.files().url(path, owner)
    return await answer_file(services.streams(), url, path, wanted=range_, condition=if_none_match, if_range=if_range)


@router.head(
    "/{path:path}",
    summary="Show size and checksum of a file",
    operation_id="headFile",
    response_class=Response,
    responses=answers(NotFoundError, more=_NOT_CHANGED),
)
async def head_file(
    path: FileAt, services: Services, owner: Name = None, if_none_match: _IfNoneMatch = None
) -> Response:
    record = await services.files().record(path, owner)
    if matches(if_none_match, tag := sha256_tag(record.sha256)):
        return Response(status_code=304, headers={"ETag": tag})
    headers = file_headers(path, record.sha256, read_range(None, record.size))
    return Response(headers=headers, media_type=record.content_type)


@router.put(
    "/{path:path}",
    summary="Upload a file through the gateway",
    operation_id="putFile",
    description=(
        "The body are the bytes. Large files go faster by `/v1/uploads`, past the gateway. With `owner` it goes into a "
        "folder that they share with `control`."
    ),
    status_code=201,
    response_model=FileView,
    responses={
        **answers(*(ForbiddenError, NotFoundError, ConflictError, OverQuotaError), example=examples.FILE, status=201),
        411: {"description": "`Content-Length` is missing."},
        412: {"description": "`If-None-Match: *` was asked for, and the file exists."},
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def put_file(
    request: Request,
    path: FileAt,
    services: Services,
    owner: Name = None,
    content_type: Annotated[
        str, Header(alias="Content-Type", max_length=256, pattern=r"^[\x20-\x7e]+$")
    ] = "application/octet-stream",
    sha256: Annotated[str | None, Header(alias="X-Content-SHA256", description="Verified if given.")] = None,
    if_none_match: _IfNoneMatch = None,
) -> Response:
    size = _size_of(request)
    if sha256 is not None and (len(sha256) != 64 or set(sha256) - set("0123456789abcdef")):
        raise InvalidError.of("X-Content-SHA256", "must be 64 hexadecimal digits in lower case")
    if if_none_match is not None and if_none_match.strip() == "*" and await services.files().exists(path, owner):
        raise HTTPException(412, f"{path} exists")
    record = await services.streams().put_stream(
        path, request.stream(), size=size, sha256=sha256, content_type=content_type, owner=owner
    )
    headers = {"Location": quote(request.url.path), "ETag": sha256_tag(record.sha256)}
    return json_answer(FileView.of(record), status=201, headers=headers)


@router.delete(
    "/{path:path}",
    summary="Delete a file, or a folder with all that is in it",
    operation_id="deleteFile",
    status_code=204,
    response_class=Response,
    responses={
        **answers(NotFoundError, ConflictError),
        202: {"description": "Storage is away; the command is kept and will be handled."},
    },
)
async def delete_file(
    path: FileAt,
    services: Services,
    recursive: Annotated[bool, Query(description="Whether a folder may be meant.")] = False,
    forever: Annotated[bool, Query(description="Whether nobody can bring it back from the trash.")] = False,
) -> Response:
    done = await services.files().delete(path, recursive=recursive, forever=forever)
    return Response(status_code=204 if done else 202)


def _size_of(request: Request) -> int:
    text = request.headers.get("content-length")
    if text is None or not (text.isascii() and text.isdigit()):
        raise HTTPException(411, "Content-Length must be given")
    if len(text) > 15 or int(text) > _MAX_SIZE:
        raise HTTPException(413, f"a file has at most {_MAX_SIZE} bytes")
    return int(text)
