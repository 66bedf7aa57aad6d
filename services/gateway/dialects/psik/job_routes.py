"""`/jobs`: submit, list, show, start, cancel."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from contracts.errors import NotFoundError
from contracts.spec import JobSpec
from services.gateway.dialects.details import json_body
from services.gateway.lean import Router

from .models import JobSpec1, JobSpec2, JobState, JobStepInfo
from .routes import declare
from .spec import native_spec
from .states import STATES
from .visits import BackendName, Visit, Visiting

__all__ = ["job_router"]

_Submit = Annotated[bool, Query(description="False makes the job and does not submit it, as `/jobs/new` does.")]
_MOST_INDEX = 2**53


async def _create(visit: Visit, spec: JobSpec1, *, name: str | None, hold: bool) -> Response:
    target = await visit.target(name or spec.backend_name)

    def make(jobid: str) -> JobSpec:
        return native_spec(spec, jobid=jobid, target=target, seal=visit.seal, hold=hold)

    await visit.require_gpus(spec.resources.processes * spec.resources.gpu_cores_per_process)
    return json_body(await visit.jobs.create(make))


async def post_job_1(
    spec: JobSpec1, visit: Visiting, backend: BackendName = None, machine: BackendName = None, submit: _Submit = True
) -> Response:
    """Submit a job; the answer is its jobid."""
    return await _create(visit, spec, name=backend or machine, hold=not submit)


async def post_job_2(
    spec: JobSpec2, visit: Visiting, backend: BackendName = None, machine: BackendName = None, submit: _Submit = True
) -> Response:
    """Submit a job; the answer is its jobid."""
    return await _create(visit, spec, name=backend or machine, hold=not submit)


async def new_job_1(
    spec: JobSpec1, visit: Visiting, machine: BackendName = None, backend: BackendName = None
) -> Response:
    """Make a job that waits for its start: files can be uploaded before."""
    return await _create(visit, spec, name=machine or backend, hold=True)


async def new_job_2(
    spec: JobSpec2, visit: Visiting, machine: BackendName = None, backend: BackendName = None
) -> Response:
    """Make a job that waits for its start: files can be uploaded before."""
    return await _create(visit, spec, name=machine or backend, hold=True)


async def get_jobs(
    visit: Visiting,
    index: Annotated[int, Query(le=_MOST_INDEX, description="Passes over so many of the newest jobs.")] = 0,
    limit: Annotated[int | None, Query(ge=0, le=_MOST_INDEX, description="How many jobs to list at most.")] = None,
    backend: BackendName = None,
    state: Annotated[JobState | None, Query(description="Only jobs that stand there.")] = None,
) -> Response:
    """List jobs with their last steps, the newest job first."""
    if backend is not None:
        try:
            await visit.target(backend)
        except NotFoundError:
            if visit.version == 1:
                raise
            return json_body([])
    steps = await visit.jobs.page(index=max(index, 0), limit=limit, backend=backend, state=state)
    return json_body([step.model_dump(mode="json") for step in steps])


async def read_job(jobid: str, visit: Visiting, backend: BackendName = None) -> Response:
    """Show every step of a job, oldest first."""
    chain = await visit.chain(jobid, backend)
    return json_body([step.model_dump(mode="json") for step in await visit.jobs.history(chain)])


async def get_state(jobid: str, visit: Visiting, backend: BackendName = None) -> Response:
    """Show where a job stands."""
    chain = await visit.chain(jobid, backend)
    return json_body(STATES[chain.last.state])


async def start_job(jobid: str, visit: Visiting, backend: BackendName = None) -> Response:
    """Let a new job go; one that was started before runs once more."""
    await visit.jobs.start(await visit.chain(jobid, backend))
    return json_body(None)


async def delete_job(jobid: str, visit: Visiting, backend: BackendName = None) -> Response:
    """Cancel a job. Nothing is deleted, and what has ended stays as it is."""
    await visit.jobs.cancel(await visit.chain(jobid, backend))
    return json_body(None)


def job_router(version: int) -> APIRouter:
    """Return the routes."""
    router = Router(tags=["jobs"])
    post, new = (post_job_1, new_job_1) if version == 1 else (post_job_2, new_job_2)
    declare(router, "GET", "/jobs", get_jobs, answer=list[JobStepInfo], twin=True, summary="List jobs")
    declare(router, "POST", "/jobs", post, answer=str, twin=True, summary="Submit a job")
    declare(router, "POST", "/jobs/new", new, answer=str, summary="Make a job without submitting it")
    declare(router, "POST", "/jobs/{jobid}/start", start_job, summary="Start a job, or run it again")
    declare(router, "GET", "/jobs/{jobid}", read_job, answer=list[JobStepInfo], summary="Show the steps of a job")
    declare(router, "DELETE", "/jobs/{jobid}", delete_job, summary="Cancel a job")
    declare(router, "GET", "/jobs/{jobid}/state", get_state, answer=JobState, summary="Show the state of a job")
    return router
