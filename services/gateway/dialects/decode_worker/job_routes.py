"""`/jobs`: pull work, say how it goes."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from contracts.leases import Offer
from contracts.states import WorkloadState
from services.gateway.dialects.decode.routes import declare
from services.gateway.dialects.decode.states import JobStates, status_of
from services.gateway.dialects.details import json_body
from services.gateway.lean import Router

from .jobs import job_of, steps_of
from .models import JobSpecs
from .visits import Visiting

__all__ = ["JobId", "job_router"]

_MEGABYTE = 2**20
_MANY = 1024
"""GPUs of a worker: it says which it has, and not how many."""

JobId = Annotated[int, Path(ge=0, lt=2**53, description="The number under which the job was pulled.")]
_Megabytes = Query(ge=0, le=2**30, description="Megabytes.")
_Gpu = Query(max_length=64, pattern=r"^[A-Za-z0-9._ -]*$")


async def get_jobs(
    request: Request,
    visit: Visiting,
    memory: Annotated[int, _Megabytes],
    cpu_cores: Annotated[int, Query(ge=0, le=4096)] = 1,
    gpu_mem: Annotated[int, _Megabytes] = 0,
    gpu_memory: Annotated[int | None, Query(ge=0, le=2**30, description="The same as `gpu_mem`.")] = None,
    gpu_model: Annotated[str | None, _Gpu] = None,
    gpu_archi: Annotated[str | None, _Gpu] = None,
    groups: Annotated[list[str] | None, Query(max_length=100, description="Passed over.")] = None,  # noqa: ARG001
    limit: Annotated[int, Query(ge=0, le=64)] = 1,
    older_than: Annotated[int, Query(ge=0, le=86400 * 365, description="Seconds.")] = 0,
) -> Response:
    """Pull work that fits, the most urgent and oldest first."""
    offer = Offer(
        cpus=max(cpu_cores, 1),
        memory=max(memory * _MEGABYTE, 1),
        gpus=_MANY,
        gpu_memory=(gpu_mem if gpu_memory is None else max(gpu_mem, gpu_memory)) * _MEGABYTE,
        gpu_model=gpu_model or None,
        gpu_architecture=gpu_archi or None,
        images=True,
    )
    found = await visit.leases.take(
        visit.settings.backend,
        offer,
        limit=limit,
        older_than=older_than,
        keyed=False,
        wait=visit.settings.wait if limit else 0,
        is_gone=request.is_disconnected,
    )
    return json_body({str(lease.number): job_of(lease).model_dump(mode="json") for lease in found.items})


async def get_job_status(job_id: JobId, visit: Visiting) -> Response:
    """Show how a job stands that somebody has pulled."""
    job = (await visit.leases.view(job_id)).job
    return json_body(status_of(job.state, job.phase))


async def put_job_status(
    job_id: JobId,
    visit: Visiting,
    status: Annotated[JobStates, Query()],
    runtime_details: Annotated[str | None, Query(max_length=100_000)] = None,
) -> Response:
    """Say how a job goes; 404 says that it is another's now, or nobody's: stop it."""
    is_ending = status in {JobStates.ERROR, JobStates.RUNNING} and await _is_ending(visit, job_id)
    await visit.leases.report(visit.whose(job_id), steps_of(status, runtime_details, is_ending=is_ending))
    return Response(status_code=204)


async def _is_ending(visit: Visiting, job_id: int) -> bool:
    view = await visit.leases.view(job_id)
    return view.is_current and view.job.state is WorkloadState.FINISHING


def job_router() -> APIRouter:
    """Return the routes."""
    router = Router(tags=["Jobs"])
    declare(router, "GET", "/jobs", get_jobs, answer=dict[str, JobSpecs], summary="Pull work")
    declare(router, "GET", "/jobs/{job_id}/status", get_job_status, answer=JobStates, summary="Show how a job stands")
    declare(router, "PUT", "/jobs/{job_id}/status", put_job_status, status=204, summary="Say how a job goes")
    return router
