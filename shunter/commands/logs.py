"""`logs`: what a job printed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from .printing import emit_line
from .selection import find_job_id
from .session import AsJson, Job, session_of

if TYPE_CHECKING:
    from shunter.client import Client
    from shunter.models import LogChunk

__all__ = ["logs"]


def logs(
    ctx: typer.Context,
    job: Job,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job ends.")] = False,
    stream: Annotated[
        Literal["stdout", "stderr"] | None, typer.Option(help="Only this one, on stdout; else each goes to its own.")
    ] = None,
    attempt: Annotated[int | None, typer.Option(min=1, help="Of this attempt; else of the last.")] = None,
    task: Annotated[int | None, typer.Option(min=0, help="Of this task of an array.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print what a job printed: its output on our output, its errors on ours.

    Example: `shunter logs -f last`, or `shunter logs --task 7 last` for an array.
    With `--json` there is one piece per line.
    """
    from .endings import show_chunks

    with session_of(ctx).client() as client:
        job_id = find_job_id(client, job)
        chunks: Iterable[LogChunk]
        if task is not None:
            chunks = _of_task(client, job_id, task, (stream,) if stream else ("stdout", "stderr"), attempt)
        elif follow:
            chunks = client.follow_log(job_id, stream=stream, attempt=attempt)
        else:
            chunks = _whole(client, job_id, (stream,) if stream else ("stdout", "stderr"), attempt)
        if as_json:
            for chunk in chunks:
                emit_line(chunk.to_json())
        else:
            show_chunks(chunks, only="stdout" if stream else None)


def _whole(client: Client, job_id: str, streams: Iterable[str], attempt: int | None) -> Iterator[LogChunk]:
    from shunter.models import LogChunk

    number = attempt or client.get_job(job_id).attempt
    for stream in streams:
        if data := client.get_log(job_id, stream=stream, attempt=number):
            yield LogChunk(number, stream, 0, data)


def _of_task(client: Client, job_id: str, task: int, streams: Iterable[str], attempt: int | None) -> Iterator[LogChunk]:
    from shunter.models import LogChunk

    number = attempt or client.get_task(job_id, task).attempt
    for stream in streams:
        if data := client.get_task_log(job_id, task, stream=stream, attempt=attempt):
            yield LogChunk(number, stream, 0, data)
