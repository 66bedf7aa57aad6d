"""`tasks`: the tasks of an array."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from .printing import console, duration, emit, state_text, table
from .selection import find_job_id
from .session import AsJson, Job, session_of

__all__ = ["tasks"]


def tasks(
    ctx: typer.Context,
    job: Job,
    state: Annotated[list[str] | None, typer.Option("--state", "-s", help="Only these states.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000, help="At most so many.")] = 1000,
    as_json: AsJson = False,
) -> None:
    """List the tasks of an array: where each stands, how it ended, how long it ran.

    Example: `shunter tasks --state failed last`
    """
    from contracts.tasks import TaskState

    unknown = [value for value in state or [] if value not in set(TaskState)]
    if unknown:
        raise typer.BadParameter(f"{unknown[0]!r} is no state of a task; there are: {', '.join(TaskState)}")
    wanted = [TaskState(value) for value in state or []]
    with session_of(ctx).client() as client:
        found = list(islice(client.iter_tasks(find_job_id(client, job), wanted), limit))
    if as_json:
        emit(found)
        return
    from rich.markup import escape

    rows = table(
        "TASK", "STATE", "ATTEMPT", "EXIT", "TIME", "ITEM", "MESSAGE", right=("TASK", "ATTEMPT", "EXIT", "TIME")
    )
    for task in found:
        rows.add_row(
            str(task.index),
            state_text(task.state.value),
            str(task.attempt),
            "-" if task.exit_code is None else str(task.exit_code),
            duration(task.usage.wall_seconds if task.usage else None),
            escape((task.item or "-")[:60]),
            escape(task.message),
        )
    console().print(rows)
