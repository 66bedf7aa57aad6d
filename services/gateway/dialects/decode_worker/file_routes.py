"""`/files` and `/jobs/{job_id}/files`: inputs of pulled jobs, and what they leave behind."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse

from contracts.errors import NotFoundError, OverQuotaError
from contracts.spec import clean_path
from services.gateway.dialects.decode.models import FileHTTPRequest
from services.gateway.dialects.decode.requests import request_beside
from services.gateway.dialects.decode.routes import declare
from services.gateway.dialects.details import json_body
from services.gateway.dialects.uploads import BYTES, FILE, announced, form_body, required_files
from services.gateway.forms import FormFile
from services.gateway.lean import Router
from services.gateway.leases import Whose

from .job_routes import JobId
from .jobs import folder_for, refused_by_quota, target_of
from .models import UploadType
from .visits import Visit, Visiting

__all__ = ["brings_file", "file_router"]

_ID = re.compile(r"([0-9]{1,15})/([0-9]{1,9})")
_UPLOAD = re.compile(r"/jobs/[^/]+/files/upload")

_FORM = form_body("file", FILE)
_BYTES: dict[int | str, dict[str, Any]] = {200: {"description": "The bytes.", "content": BYTES}}


def brings_file(method: str, path: str) -> bool:
    """Say whether a request's body is a file."""
    return method == "POST" and bool(_UPLOAD.fullmatch(path))


async def get_file_url(file_id: str, request: Request, visit: Visiting) -> Response:
    """Say how an input of a job is fetched; only who has pulled the job may."""
    whose, target = await _input(visit, file_id)
    if visit.settings.transfers == "gateway":
        return json_body(request_beside(request, "get", "download").model_dump())
    urls = await visit.leases.urls(whose, [target])
    return json_body(FileHTTPRequest(method="get", url=urls.urls[target]).model_dump())


async def download_file(file_id: str, visit: Visiting) -> Response:
    """Fetch an input of a job; only who has pulled the job may."""
    whose, target = await _input(visit, file_id)
    download = await visit.leases.fetch(whose, target)
    return StreamingResponse(download.pieces(), media_type="application/octet-stream")


async def _input(visit: Visit, file_id: str) -> tuple[Whose, str]:
    found = _ID.fullmatch(file_id)
    if found is None:
        raise NotFoundError("there is no such file")
    whose = visit.whose(int(found[1]))
    target = target_of((await visit.leases.loan(whose)).task, int(found[2]))
    if target is None:
        raise NotFoundError("there is no such file")
    return whose, target


async def get_upload_url(
    job_id: JobId,
    request: Request,
    visit: Visiting,
    type_: Annotated[UploadType, Query(alias="type")],
    base_path: Annotated[str, Query(max_length=1024)] = "",
) -> Response:
    """Say how files of a job are brought home: through the gateway, which takes none of a job that was lost."""
    await visit.leases.loan(visit.whose(job_id))
    _path(base_path, "file")
    return json_body(
        request_beside(request, "post", "upload", type=type_, base_path=base_path).model_dump(), status=201
    )


async def upload_file(
    job_id: JobId,
    request: Request,
    visit: Visiting,
    type_: Annotated[UploadType, Query(alias="type")],
    base_path: Annotated[str, Query(max_length=1024)] = "",
) -> Response:
    """Bring a file of a job home, as a form, in a field `file`; of a job that was lost none is taken."""
    loan = await visit.leases.loan(visit.whose(job_id))
    to = folder_for(loan.task, type_)
    if size := announced(request):
        async with _within_quota(visit, job_id, base_path):
            await visit.leases.check_room(loan, _path(base_path, "file"), to, size)
    async with required_files(request, "file", int(visit.settings.most_form)) as (file, *_):
        path = _path(base_path, file.name)
        async with _within_quota(visit, job_id, path):
            await _keep(visit, job_id, path, to, file)
    return json_body(None, status=201)


@asynccontextmanager
async def _within_quota(visit: Visit, job_id: int, path: str) -> AsyncIterator[None]:
    """End a job whose owner has no room for what it brings.

    Its worker knows one way to be told to stop; what it was to stop for is told to whoever owns the job.
    """
    try:
        yield
    except OverQuotaError as error:
        await visit.leases.report(visit.whose(job_id), [refused_by_quota(f"quota: {path}: {error.detail}")])
        raise NotFoundError(f"the job has ended: {error.detail}") from error


async def _keep(visit: Visit, job_id: int, path: str, to: str | None, file: FormFile) -> None:
    digest = hashlib.sha256()
    async for piece in file.pieces():
        digest.update(piece)
    await visit.leases.store(visit.whose(job_id), path, to, file.pieces(), file.size, digest.hexdigest())


def _path(base_path: str, name: str) -> str:
    """Return where a file lies below the job's outputs; there is no way out."""
    try:
        return clean_path(f"outputs/{clean_path(f'{base_path}/{name}'.lstrip('/'))}")
    except ValueError:
        raise HTTPException(403, "Path is not in base directory") from None


def file_router() -> APIRouter:
    """Return the routes."""
    router = Router(tags=["Files"])
    upload, url, told = "/jobs/{job_id}/files/upload", "/jobs/{job_id}/files/url", FileHTTPRequest
    declare(router, "POST", upload, upload_file, status=201, openapi_extra=_FORM, summary="Bring a file of a job home")
    declare(router, "POST", url, get_upload_url, answer=told, status=201, summary="Say how files are brought home")
    declare(router, "GET", "/files/{file_id:path}/download", download_file, responses=_BYTES, summary="Fetch an input")
    declare(router, "GET", "/files/{file_id:path}/url", get_file_url, answer=told, summary="Say how one is fetched")
    return router
