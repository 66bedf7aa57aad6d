"""`/v1/jobs`: submit, list, show, steer."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Body, Header, Query, Request
from starlette.responses import Response

from contracts.errors import ConflictError, InvalidError, MismatchError, NotFoundError, OverQuotaError, TooLargeError
from contracts.explanations import Explanation
from contracts.numbers import MOST_NUMBER
from contracts.placements import PlacementView
from contracts.queries import History
from contracts.spec import JobSpec
from contracts.states import WorkloadState
from services.gateway.jobs import Submitted, Until
from services.gateway.lean import Router
from services.gateway.links import Linker, job_path
from services.gateway.records import JobRecord

from . import examples
from .answers import answers, json_answer
from .conditional import matches, revision_of, revision_tag
from .context import Cursor, JobId, Limit, Moment, Name, Services
from .pages import next_link
from .preferences import read_idempotency_key, read_preference
from .reading import body_of, headers_of, read_json
from .views import CancelWish, JobPage, JobView, PendingJob, RetryWish, StartWish

__all__ = ["router"]

router = Router(prefix="/v1/jobs", tags=["jobs"])

_PENDING = {202: ("The scheduler is away; the command is kept and will be handled.", PendingJob)}
_SAME = {200: ("The key was used before, for the same request: this is its job.", JobView)}
_SAME_OR_DRY = {
    200: (
        "The key was used before, for the same request: this is its job. Or, with `dry_run`, where it would go.",
        JobView | PlacementView,
    )
}
_KEY = Header(alias="Idempotency-Key", description="The same key and request twice make one job.", examples=["run-42"])
_PREFER = Header(alias="Prefer", description="`wait=N` (seconds) or `respond-async` (RFC 7240).", examples=["wait=5"])

DryRun = Annotated[bool, Query(description="Keep nothing: only say where it would go, and why not elsewhere.")]

ScheduleFilter = Annotated[
    str | None, Query(pattern=r"^sch-[0-9a-f]{32}$", description="Only those that this schedule made.")
]

BatchFilter = Annotated[
    str | None, Query(pattern=r"^bat-[0-9a-f]{32}$", description="Only those that came with this batch.")
]

SharedFilter = Annotated[
    bool | None, Query(description="Only those that others share with you, or only the others; by default both.")
]

NumberFilter = Annotated[int | None, Query(ge=1, le=MOST_NUMBER, description="Only the job of this number.")]

UntilWord = Annotated[
    str,
    Query(
        pattern=f"^(terminal|change|{'|'.join(WorkloadState)})$",
        description="What to wait for: `terminal` (the end), `change` (any move), or a state.",
        examples=["terminal"],
    ),
]


@router.post(
    "",
    summary="Submit a job, or ask where it would go",
    description="With `dry_run=true` nothing is kept: the answer says where it would go and why, and of every other "
    "backend why not.",
    operation_id="submitJob",
    status_code=201,
    response_model=JobView,
    openapi_extra={**body_of(JobSpec, examples.SPECS), **headers_of(_KEY, _PREFER)},
    responses=answers(
        ConflictError,
        MismatchError,
        OverQuotaError,
        TooLargeError,
        example=examples.JOB,
        status=201,
        more={**_SAME_OR_DRY, **_PENDING},
    ),
)
async def post_job(request: Request, services: Services, dry_run: DryRun = False) -> Response:
    headers = request.headers
    key, preference = read_idempotency_key(headers.get("idempotency-key")), read_preference(headers.get("prefer"))
    spec = await read_json(request, JobSpec)
    if dry_run:
        return json_answer(await services.jobs().place(spec))
    submitted = await services.jobs().submit(spec, key=key, wait=preference.wait)
    return _made(submitted, services.linker, preference.to_headers())


@router.get(
    "",
    summary="List jobs, newest first",
    operation_id="listJobs",
    response_model=JobPage,
    responses=answers(example={"items": [examples.JOB], "next_cursor": None}),
)
async def list_jobs(
    request: Request,
    services: Services,
    limit: Limit = 50,
    cursor: Cursor = None,
    state: Annotated[list[WorkloadState], Query(max_length=32)] = [],  # noqa: B006 (FastAPI copies it)
    owner: Name = None,
    project: Name = None,
    backend: Name = None,
    name: Name = None,
    label: Annotated[list[str], Query(max_length=64, description="`key=value`; may be repeated.")] = [],  # noqa: B006
    created_after: Moment | None = None,
    created_before: Moment | None = None,
    schedule: ScheduleFilter = None,
    batch: BatchFilter = None,
    shared: SharedFilter = None,
    number: NumberFilter = None,
) -> Response:
    page = await services.jobs().page(
        limit=limit,
        cursor=cursor,
        states=state,
        owner=owner,
        project=project,
        backend=backend,
        name=name,
        labels=_labels(label),
        created_after=created_after,
        created_before=created_before,
        schedule_id=schedule,
        batch_id=batch,
        shared=shared,
        number=number,
    )
    headers = next_link(request, page.next_cursor)
    return Response(page.with_links(services.linker), headers=headers, media_type="application/json")


@router.get(
    "/{job_id}",
    summary="Show a job, or wait for it",
    operation_id="getJob",
    response_model=JobView,
    responses=answers(NotFoundError, example=examples.JOB, more={304: ("It is as the client has it.", None)}),
)
async def get_job(
    job_id: JobId,
    services: Services,
    wait: Annotated[float, Query(ge=0, le=60, allow_inf_nan=False, description="Seconds to wait for `until`.")] = 0,
    until: UntilWord = "terminal",
    if_none_match: Annotated[str | None, Header(alias="If-None-Match", examples=['"4"'])] = None,
) -> Response:
    jobs = services.jobs()
    if wait > 0:
        record = await jobs.wait_for(job_id, Until.of(until, revision_of(if_none_match)), seconds=wait)
    else:
        record = await jobs.show(job_id)
    if matches(if_none_match, tag := revision_tag(record.revision, record.batch)):
        return Response(status_code=304, headers={"ETag": tag})
    return _show(record, services.linker)


@router.delete(
    "/{job_id}",
    summary="Remove a job",
    operation_id="removeJob",
    description="One that has not ended is cancelled. It is gone for everybody at once, and its name is free; its "
    "outputs and logs follow, and whatever its runner still brings is refused. Usage and the event log keep it.",
    status_code=204,
    response_class=Response,
    responses=answers(NotFoundError, more=_PENDING),
)
async def remove_job(job_id: JobId, services: Services) -> Response:
    if await services.jobs().remove(job_id):
        return Response(status_code=204)
    return _pending(job_id, services.linker, {})


@router.get(
    "/{job_id}/history",
    summary="Show all moves of a job",
    operation_id="getJobHistory",
    response_model=History,
    responses=answers(NotFoundError, example=examples.HISTORY),
)
async def get_history(job_id: JobId, services: Services) -> Response:
    return json_answer(await services.jobs().history(job_id))


@router.get(
    "/{job_id}/explain",
    summary="Say why a job is where it is",
    operation_id="explainJob",
    response_model=Explanation,
    responses=answers(NotFoundError, example=examples.EXPLANATION),
)
async def explain_job(job_id: JobId, services: Services) -> Response:
    return json_answer(await services.jobs().explain(job_id))


@router.post(
    "/{job_id}/hold",
    summary="Keep a job that waits from starting",
    operation_id="holdJob",
    status_code=202,
    response_model=JobView | PendingJob,
    responses=answers(
        NotFoundError, ConflictError, example=examples.JOB, status=202, more={200: ("It is held.", JobView)}
    ),
)
async def hold_job(job_id: JobId, services: Services) -> Response:
    workload = await services.jobs().hold(job_id)
    return _pending(job_id, services.linker, {}) if workload is None else _show(workload, services.linker)


@router.post(
    "/{job_id}/release",
    summary="Let a held job go, as far as nothing else holds it up",
    operation_id="releaseJob",
    status_code=202,
    response_model=JobView | PendingJob,
    responses=answers(NotFoundError, ConflictError, example=examples.JOB, status=202),
)
async def release_job(job_id: JobId, services: Services) -> Response:
    return await start_job(job_id, services)


@router.post(
    "/{job_id}/start",
    summary="Let a held job go",
    operation_id="startJob",
    status_code=202,
    response_model=JobView | PendingJob,
    responses=answers(NotFoundError, ConflictError, example=examples.JOB, status=202),
)
async def start_job(
    job_id: JobId, services: Services, wish: Annotated[StartWish | None, Body(openapi_examples=examples.START)] = None
) -> Response:
    record = await services.jobs().start(job_id, None if wish is None else wish.inputs)
    return _pending(job_id, services.linker, {}) if record is None else _show(record, services.linker, status=202)


@router.post(
    "/{job_id}/cancel",
    summary="End a job, wherever it stands",
    operation_id="cancelJob",
    status_code=202,
    response_model=JobView | PendingJob,
    responses=answers(
        NotFoundError, ConflictError, example=examples.JOB, status=202, more={200: ("It is canceled.", JobView)}
    ),
)
async def cancel_job(
    job_id: JobId, services: Services, wish: Annotated[CancelWish | None, Body(openapi_examples=examples.CANCEL)] = None
) -> Response:
    record = await services.jobs().cancel(job_id, None if wish is None else wish.tasks)
    if record is None:
        return _pending(job_id, services.linker, {})
    return _show(record, services.linker, status=200 if record.state is WorkloadState.CANCELED else 202)


@router.post(
    "/{job_id}/retry",
    summary="Run an ended job again, as a new one",
    operation_id="retryJob",
    status_code=201,
    response_model=JobView,
    responses=answers(
        NotFoundError, ConflictError, MismatchError, example=examples.JOB, status=201, more={**_SAME, **_PENDING}
    ),
)
async def retry_job(
    job_id: JobId,
    services: Services,
    wish: Annotated[RetryWish | None, Body(openapi_examples=examples.RETRY)] = None,
    idempotency_key: Annotated[str | None, _KEY] = None,
    prefer: Annotated[str | None, _PREFER] = None,
) -> Response:
    key, preference = read_idempotency_key(idempotency_key), read_preference(prefer)
    tasks = "all" if wish is None else wish.tasks
    submitted = await services.jobs().retry(job_id, key=key, wait=preference.wait, tasks=tasks)
    return _made(submitted, services.linker, preference.to_headers())


def _made(submitted: Submitted, links: Linker, headers: dict[str, str]) -> Response:
    headers = {"Location": job_path(submitted.job_id), **headers}
    if submitted.record is None:
        return _pending(submitted.job_id, links, headers)
    if submitted.replayed:
        return _show(submitted.record, links, headers={**headers, "Idempotent-Replayed": "true"})
    return _show(submitted.record, links, status=201, headers=headers)


def _show(record: JobRecord, links: Linker, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    tagged = {"ETag": revision_tag(record.revision, record.batch), **(headers or {})}
    body = record.with_links(links.json_of(record.id))
    return Response(body, status_code=status, headers=tagged, media_type="application/json")


def _pending(job_id: str, links: Linker, headers: dict[str, str]) -> Response:
    headers = {"Location": job_path(job_id), "Retry-After": "1", **headers}
    return Response(links.pending_of(job_id), status_code=202, headers=headers, media_type="application/json")


def _labels(words: list[str]) -> dict[str, str]:
    labels: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key or len(word) > 320 or not word.isprintable():
            raise InvalidError.of("label", "must have the form key=value")
        labels[key] = value
    return labels
