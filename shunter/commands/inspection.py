"""`ps`, `show`, `history`."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from .printing import ago, console, duration, emit, state_text, table, usual_time
from .selection import find_job_id
from .session import AsJson, Job, session_of

if TYPE_CHECKING:
    from rich.table import Table

    from contracts.workloads import Workload
    from shunter.calls.jobs import JobFilter
    from shunter.client import Client
    from shunter.models import JobView

__all__ = ["history", "ps", "show"]

_RECENT = timedelta(days=1)
"""How long ended jobs are listed unless all are asked for."""

_BEAT = 2.0
"""Seconds between two looks of `--watch`."""


def ps(
    ctx: typer.Context,
    everything: Annotated[bool, typer.Option("--all", "-a", help="Old ones too.")] = False,
    state: Annotated[list[str] | None, typer.Option("--state", "-s", help="Only these states.")] = None,
    name: Annotated[str | None, typer.Option("--name", "-n", help="Only this name.")] = None,
    project: Annotated[str | None, typer.Option("--project", "-p", help="Only this project.")] = None,
    owner: Annotated[str | None, typer.Option(help="Only this owner's.")] = None,
    backend: Annotated[str | None, typer.Option(help="Only on this cluster.")] = None,
    label: Annotated[list[str] | None, typer.Option("--label", "-l", help="`name=value`.")] = None,
    shared: Annotated[
        bool | None, typer.Option("--shared/--not-shared", help="Only what others share, or only the rest.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="At most so many.")] = 50,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Look again every two seconds.")] = False,
    as_json: AsJson = False,
) -> None:
    """List jobs: those that have not ended, and those of the last day.

    Example: `shunter ps --state failed --label sweep=3`
    """
    from contracts.states import WorkloadState
    from shunter.calls.jobs import JobFilter

    from .specs import pairs

    unknown = [value for value in state or [] if value not in set(WorkloadState)]
    if unknown:
        raise typer.BadParameter(f"{unknown[0]!r} is no state; there are: {', '.join(WorkloadState)}")
    wanted = JobFilter(
        states=tuple(WorkloadState(value) for value in state or []),
        owner=owner,
        project=project,
        backend=backend,
        name=name,
        labels=pairs(label or [], "label"),
        shared=shared,
    )
    with session_of(ctx).client() as client:
        look = _Look(client, wanted, limit, narrow=not everything and not state)
        if as_json:
            emit(look.jobs())
        elif watch:
            _watch(look)
        else:
            console().print(_jobs_table(look.jobs()))


class _Look:
    """One look at the list."""

    def __init__(self, client: Client, wanted: JobFilter, limit: int, *, narrow: bool) -> None:
        self._client = client
        self._wanted = wanted
        self._limit = limit
        self._narrow = narrow

    def jobs(self) -> list[JobView]:
        """Return the jobs, newest first."""
        if not self._narrow:
            return self._client.list_jobs(self._wanted, limit=self._limit).items
        from dataclasses import replace

        from contracts.states import WorkloadState

        going_on = tuple(state for state in WorkloadState if not state.is_terminal)
        recent = replace(self._wanted, created_after=datetime.now(UTC) - _RECENT)
        found = {
            job.id: job
            for wanted in (replace(self._wanted, states=going_on), recent)
            for job in self._client.list_jobs(wanted, limit=self._limit).items
        }
        return sorted(found.values(), key=lambda job: job.created_at, reverse=True)[: self._limit]


def _watch(look: _Look) -> None:
    from rich.live import Live

    with Live(_jobs_table(look.jobs()), console=console(fitting=True), auto_refresh=False) as live:
        while True:
            time.sleep(_BEAT)
            live.update(_jobs_table(look.jobs()), refresh=True)


def _jobs_table(jobs: list[JobView]) -> Table:
    from rich.markup import escape

    found = table("ID", "NAME", "STATE", "ATTEMPT", "BACKEND", "AGE", "TIME", right=("ATTEMPT", "AGE", "TIME"))
    for job in jobs:
        found.add_row(
            job.id,
            escape(job.name or "-"),
            state_text(job.state.value),
            str(job.attempt),
            escape(job.backend or "-"),
            ago(job.created_at),
            duration(_run_time(job)),
        )
    return found


def _run_time(job: Workload) -> float | None:
    if job.started_at is None:
        return None
    return ((job.finished_at or datetime.now(UTC)) - job.started_at).total_seconds()


def show(ctx: typer.Context, job: Job, as_json: AsJson = False) -> None:
    """Show a job: its states with times, what it asked for and what it really used, what it left behind.

    Example: `shunter show last`
    """
    from .portrait import portray

    with session_of(ctx).client() as client:
        job_id = find_job_id(client, job)
        found, moves = client.get_job(job_id), client.get_history(job_id)
    if as_json:
        emit({**found.model_dump(mode="json"), "history": moves.model_dump(mode="json")["transitions"]})
    else:
        portray(found, moves.transitions)


def history(ctx: typer.Context, job: Job, as_json: AsJson = False) -> None:
    """List every move of a job from state to state, of all attempts.

    Example: `shunter history last`
    """
    with session_of(ctx).client() as client:
        found = client.get_history(find_job_id(client, job))
    if as_json:
        emit(found)
        return
    rows = table("#", "TIME", "STATE", "ATTEMPT", "REASON", "BACKEND", "MESSAGE", right=("#", "ATTEMPT"))
    from rich.markup import escape

    for move in found.transitions:
        state, place = state_text(move.state.value), escape(move.backend or "-")
        moment = usual_time(move.at)
        rows.add_row(
            str(move.revision), moment, state, str(move.attempt), move.reason.value, place, escape(move.message)
        )
    console().print(rows)
