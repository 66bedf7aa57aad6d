"""`/jobs`: what can be started; start, list, show, delete."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from contracts.errors import ConflictError, InvalidError, NotFoundError, UnavailableError
from contracts.numbers import MOST_NUMBER
from services.gateway.api.reading import body_of, read_json
from services.gateway.dialects.details import json_body
from services.gateway.jobs import Submitted
from services.gateway.lean import Router

from .models import Job, JobCreate
from .refusals import refusal_of
from .routes import declare
from .spec import JOB, folders_of, job_of, name_of, native_spec
from .visits import Visit, Visiting

__all__ = ["job_router"]

_PAGE = 1000
"""Jobs that are asked for at once."""

_EXAMPLE = {
    "job_name": "training-1",
    "application": {"application": "decode", "version": "v0_10_1", "entrypoint": "train"},
    "attributes": {"files_down": {"config_id": "first", "data_ids": ["beads"], "artifact_ids": []}, "env_vars": {}},
    "hardware": {},
}

_Offset = Annotated[int, Query(ge=0, le=MOST_NUMBER, description="Passes over so many of the newest jobs.")]
_Limit = Annotated[int, Query(ge=-1, le=MOST_NUMBER, description="How many jobs to list at most; -1 lists all.")]


async def list_applications(visit: Visiting) -> Response:
    """List what can be started: application, version, entrypoint."""
    catalog = await visit.services.site().applications()
    offered = {
        application: {
            version: {name: entrypoint.model_dump(mode="json", exclude_none=True) for name, entrypoint in all_.items()}
            for version, all_ in versions.items()
        }
        for application, versions in catalog.applications.items()
    }
    return json_body(offered)


async def start_job(request: Request, visit: Visiting) -> Response:
    """Start a job. Its inputs are what lies in the folders at this moment."""
    wish = await read_json(request, JobCreate)
    submitted = await _submit(visit, wish)
    if submitted.record is None:
        raise UnavailableError("the job is kept and will be started; GET /jobs shows it then", retry_after=5.0)
    return json_body(job_of(orjson.loads(submitted.record.raw), visit.email), status=201)


async def _submit(visit: Visit, wish: JobCreate) -> Submitted:
    try:
        return await visit.services.jobs().submit(native_spec(wish, visit.settings), key=None, wait=None)
    except (ValidationError, InvalidError, NotFoundError, ConflictError) as error:
        raise refusal_of(error, wish, await visit.services.site().applications()) from error


async def list_jobs(visit: Visiting, offset: _Offset = 0, limit: _Limit = 100) -> Response:
    """List jobs, the newest first."""
    end = None if limit < 0 else offset + limit
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while end is None or len(found) < end:
        page = await visit.services.jobs().page(
            limit=_PAGE if end is None else min(_PAGE, end - len(found)),
            cursor=cursor,
            owner=visit.subject,
            labels=JOB,
        )
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
    return json_body([job_of(record, visit.email) for record in found[offset:end]])


async def describe_job(job_id: int, visit: Visiting) -> Response:
    """Show a job."""
    return json_body(job_of(await _own(visit, job_id), visit.email))


async def delete_job(job_id: int, visit: Visiting) -> Response:
    """Delete a job, stopping it first if it runs, with all that it left behind; its name is free again."""
    record = await _own(visit, job_id)
    if not await visit.services.jobs().remove(record["id"]):
        raise UnavailableError("the job will be deleted as soon as that is possible", retry_after=5.0)
    # What comes in late is refused from now on.
    await asyncio.gather(*(_clear(visit, folder) for folder in folders_of(name_of(record)).values()))
    return Response(status_code=204)


async def _clear(visit: Visit, folder: str) -> None:
    try:
        await visit.services.files().delete(folder, recursive=True)
    except NotFoundError:
        return


async def _own(visit: Visit, number: int) -> dict[str, Any]:
    """Return the record of a job of whoever asks."""
    if 1 <= number <= MOST_NUMBER:
        try:
            record: dict[str, Any] = orjson.loads((await visit.services.jobs().find(number)).raw)
        except NotFoundError:
            record = {}
        if record and record["owner"] == visit.subject and JOB.items() <= record["labels"].items():
            return record
    raise HTTPException(404, "Job not found")


def job_router() -> APIRouter:
    """Return the routes."""
    router = Router(tags=["Jobs"])
    catalog = dict[str, dict[str, dict[str, Any]]]
    declare(router, "GET", "/jobs/applications", list_applications, answer=catalog, summary="List what can be started")
    declare(router, "GET", "/jobs", list_jobs, answer=list[Job], summary="List jobs")
    body = body_of(JobCreate, {"training": {"value": _EXAMPLE}})
    declare(router, "POST", "/jobs", start_job, answer=Job, status=201, summary="Start a job", openapi_extra=body)
    declare(router, "GET", "/jobs/{job_id}", describe_job, answer=Job, summary="Show a job")
    declare(router, "DELETE", "/jobs/{job_id}", delete_job, status=204, summary="Delete a job")
    return router
