"""`/v1/jobs/{id}/tasks`: the tasks of an array, one by one."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header, Path, Query, Request
from starlette.responses import Response, StreamingResponse

from contracts.arrays import MAX_TASKS
from contracts.errors import NotFoundError
from contracts.queries import TaskPage
from contracts.runs import Stream
from contracts.tasks import Task, TaskState
from services.gateway.lean import Router
from services.gateway.links import job_path

from . import examples
from .answers import answers, json_answer
from .context import JobId, Limit, Services
from .pages import next_link
from .ranges import read_range
from .views import TaskLogPage, TaskLogView

__all__ = ["router"]

router = Router(prefix="/v1/jobs", tags=["tasks"])

Index = Annotated[int, Path(ge=0, lt=MAX_TASKS, description="The task's number.", examples=[7])]
Cursor = Annotated[str | None, Query(max_length=64, description="`next_cursor` of the page before.")]
States = Annotated[list[TaskState], Query(max_length=16)]


@router.get(
    "/{job_id}/tasks",
    summary="List the tasks of an array",
    operation_id="listTasks",
    response_model=TaskPage,
    responses=answers(NotFoundError, example={"items": [examples.TASK], "next_cursor": None}),
)
async def list_tasks(
    request: Request,
    job_id: JobId,
    services: Services,
    limit: Limit = 100,
    cursor: Cursor = None,
    state: States = [],  # noqa: B006 (FastAPI copies it)
) -> Response:
    page = await services.jobs().tasks(job_id, states=state, limit=limit, cursor=cursor)
    return json_answer(page, headers=next_link(request, page.next_cursor))


@router.get(
    "/{job_id}/tasks/{index}",
    summary="Show a task of an array",
    operation_id="getTask",
    response_model=Task,
    responses=answers(NotFoundError, example=examples.TASK),
)
async def get_task(job_id: JobId, index: Index, services: Services) -> Response:
    return json_answer(await services.jobs().task(job_id, index))


@router.get(
    "/{job_id}/tasks/{index}/logs",
    summary="Read what a task of an array printed",
    operation_id="getTaskLogs",
    description="The bytes of one stream of one attempt, once that has ended; `Range` is honoured.",
    response_class=Response,
    responses={
        **answers(NotFoundError, example=examples.LOG, media_type="text/plain; charset=utf-8", binary=True),
        206: {"description": "The bytes of the range.", "content": {"text/plain": {"example": "epoch 1"}}},
        416: {"description": "There are no such bytes."},
    },
)
async def get_task_logs(
    job_id: JobId,
    index: Index,
    services: Services,
    stream: Annotated[Stream, Query(description="Which one.")] = "stdout",
    attempt: Annotated[int | None, Query(ge=1, le=1_000_000, description="By default the last that ended.")] = None,
    range_: Annotated[str | None, Header(alias="Range", examples=["bytes=0-1023"])] = None,
) -> Response:
    jobs = services.jobs()
    workload, task = await jobs.get(job_id), await jobs.task(job_id, index)
    source = await services.logs().open_task(workload, task, stream, attempt)
    span = read_range(range_, source.size)
    headers = {**span.to_headers(), "Content-Disposition": "inline"}
    pieces = source.pieces(span.start, span.end)
    return StreamingResponse(pieces, span.status, headers, media_type="text/plain; charset=utf-8")


@router.get(
    "/{job_id}/task-logs",
    summary="List what the tasks of an array printed",
    operation_id="listTaskLogs",
    response_model=TaskLogPage,
    responses=answers(NotFoundError, example=examples.TASK_LOGS),
)
async def list_task_logs(
    request: Request,
    job_id: JobId,
    services: Services,
    limit: Limit = 100,
    cursor: Cursor = None,
    state: States = [],  # noqa: B006 (FastAPI copies it)
) -> Response:
    page = await services.jobs().tasks(job_id, states=state, limit=limit, cursor=cursor)
    items = [view for task in page.items for view in _log_views(job_id, task)]
    return json_answer(
        TaskLogPage(items=items, next_cursor=page.next_cursor), headers=next_link(request, page.next_cursor)
    )


def _log_views(job_id: str, task: Task) -> list[TaskLogView]:
    path = f"{job_path(job_id)}/tasks/{task.index}/logs"
    return [
        TaskLogView(
            index=task.index,
            attempt=log.attempt,
            stream=log.stream,
            size=log.size,
            href=f"{path}?stream={log.stream}&attempt={log.attempt}",
        )
        for log in task.logs
    ]
