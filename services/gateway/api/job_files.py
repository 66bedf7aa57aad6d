"""`/v1/jobs/{id}/files`: what a job left behind."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header, Query
from starlette.responses import Response

from contracts.errors import NotFoundError
from contracts.files import DownloadUrl
from services.gateway.lean import Router

from . import examples
from .answers import answers, json_answer
from .context import FileAt, JobId, Services
from .downloads import answer_file
from .views import JobFilesView

__all__ = ["router"]

router = Router(prefix="/v1/jobs", tags=["job files"])


@router.get(
    "/{job_id}/files",
    summary="List what a job left behind",
    operation_id="listJobFiles",
    response_model=JobFilesView,
    responses=answers(NotFoundError, example=examples.JOB_FILES),
)
async def list_job_files(job_id: JobId, services: Services) -> Response:
    workload = await services.jobs().get(job_id)
    return json_answer(JobFilesView(items=[*workload.outputs, *workload.logs]))


@router.get(
    "/{job_id}/files/{path:path}",
    summary="Download a file of a job",
    operation_id="getJobFile",
    response_class=Response,
    responses={
        **answers(NotFoundError, media_type="application/octet-stream", binary=True),
        206: {"description": "The bytes of the range."},
        304: {"description": "It is as the client has it."},
        416: {"description": "There are no such bytes."},
    },
)
async def get_job_file(
    job_id: JobId,
    path: FileAt,
    services: Services,
    presign: Annotated[bool, Query(description="Whether to answer with a URL instead of the bytes.")] = False,
    range_: Annotated[str | None, Header(alias="Range", examples=["bytes=0-1023"])] = None,
    if_none_match: Annotated[str | None, Header(alias="If-None-Match")] = None,
    if_range: Annotated[str | None, Header(alias="If-Range")] = None,
) -> Response:
    workload = await services.jobs().get(job_id)
    # The files of an array are not repeated in its record: storage knows them.
    listed = workload.tasks is None or not path.startswith("outputs/")
    if listed and path not in {item.path for item in (*workload.outputs, *workload.logs)}:
        raise NotFoundError(f"{job_id} left no file {path!r} behind")
    url: DownloadUrl = await services.archive().url(workload, path)
    if presign:
        return json_answer(url)
    return await answer_file(services.streams(), url, path, wanted=range_, condition=if_none_match, if_range=if_range)
