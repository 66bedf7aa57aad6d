"""`/v1/jobs/{id}/logs`: the output of a job, whole, by range, or as it grows."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header, Query
from starlette.responses import Response, StreamingResponse

from contracts.errors import ConflictError, NotFoundError
from contracts.runs import Stream
from services.gateway.follow import Position
from services.gateway.lean import Router
from services.gateway.sse import sse_response

from . import examples
from .answers import answers
from .context import JobId, Services
from .ranges import read_range

__all__ = ["router"]

router = Router(prefix="/v1/jobs", tags=["logs"])


@router.get(
    "/{job_id}/logs",
    summary="Read or follow the output of a job",
    operation_id="getJobLogs",
    description=(
        "Without `follow` the bytes of one stream of one attempt, as they are now; `Range` is honoured. "
        "`Shunter-Log-Begins` names the first byte that is still kept, where the log of a running job outgrew what is "
        "kept. With `follow` server-sent events: `log` (`{attempt, stream, offset, text}`, or `base64` where the bytes "
        "are no UTF-8) and at the end `end` (`{state, exit_code}`). `Last-Event-ID` goes on where an id was read."
    ),
    response_class=Response,
    responses={
        **answers(
            NotFoundError, ConflictError, example=examples.LOG, media_type="text/plain; charset=utf-8", binary=True
        ),
        206: {"description": "The bytes of the range.", "content": {"text/plain": {"example": "epoch 1"}}},
        416: {"description": "There are no such bytes."},
    },
)
async def get_logs(
    job_id: JobId,
    services: Services,
    stream: Annotated[Stream | None, Query(description="By default `stdout`; with `follow` both.")] = None,
    attempt: Annotated[int | None, Query(ge=1, le=1_000_000, description="By default the last.")] = None,
    follow: Annotated[bool, Query(description="Whether to stay and get what comes.")] = False,
    range_: Annotated[str | None, Header(alias="Range", examples=["bytes=0-1023"])] = None,
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID", examples=["1.42.1024.0"])] = None,
) -> Response:
    position = Position.read(last_event_id)
    workload = await services.jobs().get(job_id)
    if workload.tasks is not None:
        raise ConflictError(f"{job_id} is an array: each task has its own output, at /v1/jobs/{job_id}/tasks/…/logs")
    if follow:
        return sse_response(services.follower(workload, stream, position).events())
    source = await services.logs().open(workload, stream or "stdout", attempt)
    span = read_range(range_, source.size).beginning_at(source.begins)
    headers = {**span.to_headers(), "Content-Disposition": "inline"}
    if source.begins:
        headers["Shunter-Log-Begins"] = str(source.begins)
    pieces = source.pieces(span.start, span.end)
    return StreamingResponse(pieces, span.status, headers, media_type="text/plain; charset=utf-8")
