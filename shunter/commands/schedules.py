"""`schedule`: create, list, show, pause, resume, trigger, rm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import wishes
from .printing import console, emit, note, table, usual_time
from .selection import find_by_name
from .session import AsJson, session_of
from .wishes import given, outputs_of

if TYPE_CHECKING:
    from contracts.schedules import Schedule, ScheduleSpec
    from shunter.client import Client

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Repeated jobs: `create`, `list`, `show`, `pause`, `resume`, `trigger`, `rm`.",
)

_Schedule = Annotated[str, typer.Argument(metavar="SCHEDULE", help="An id, or the name if only one has it.")]
_Text = str | None


@app.command("create", context_settings={"allow_interspersed_args": False})
def create(
    ctx: typer.Context,
    argv: Annotated[list[str] | None, typer.Argument(metavar="[-- ARGV...]", help="The program.")] = None,
    file: Annotated[
        _Text, typer.Option("-f", "--file", help="YAML: a schedule with `job:`; `-` is the standard input.")
    ] = None,
    name: wishes.Name = None,
    cron: Annotated[_Text, typer.Option(help="`30 2 * * MON-FRI`: minute, hour, day, month, weekday.")] = None,
    every: Annotated[_Text, typer.Option(help="A pause, at least 10 s: `6h`.")] = None,
    zone: Annotated[_Text, typer.Option("--time-zone", help="For `--cron`, e.g. `Europe/Berlin`.")] = None,
    overlap: Annotated[_Text, typer.Option(help="skip, buffer_one, allow or cancel_other.")] = None,
    catch_up: Annotated[_Text, typer.Option(help="How old a missed run may be to be made up for.")] = None,
    jitter: Annotated[_Text, typer.Option(help="Each run is late by a random part of this.")] = None,
    start_at: Annotated[_Text, typer.Option(help="Not before this moment.")] = None,
    end_at: Annotated[_Text, typer.Option(help="Not after this moment.")] = None,
    max_runs: Annotated[int | None, typer.Option(help="It ends after so many.")] = None,
    paused: Annotated[bool, typer.Option("--paused", help="Do not begin yet.")] = False,
    project: wishes.Project = None,
    cpus: wishes.Cpus = None,
    memory: wishes.Memory = None,
    walltime: wishes.Walltime = None,
    inputs: wishes.Inputs = None,
    outputs: wishes.Outputs = None,
    env: wishes.Env = None,
    backend: wishes.Backend = None,
    key: Annotated[_Text, typer.Option("--idempotency-key", help="The same key twice makes one schedule.")] = None,
    as_json: AsJson = False,
) -> None:
    """Have a job submitted again and again.

    Example: `shunter schedule create --name report --cron "30 2 * * *" -- python report.py`

    Example: `shunter schedule create -f schedule.yaml`
    """
    from .specs import pairs, read_inputs

    room = given(cpus=cpus, memory=memory, walltime=walltime)
    files = given(inputs=read_inputs(inputs or []), outputs=outputs_of(outputs, None))
    job = given(argv=argv, project=project, env=pairs(env or [], "env"), resources=room)
    times = given(cron=cron, every=every, time_zone=zone, start_at=start_at, end_at=end_at, max_runs=max_runs)
    rules = given(name=name, overlap=overlap, catch_up=catch_up, jitter=jitter, paused=paused)
    options = {**times, **rules, **given(job={**job, **files, **given(placement=given(backend=backend))})}
    with session_of(ctx).client() as client:
        made = client.create_schedule(_spec(file, options), key=key)
    if made is None:
        note("The scheduler is away. The schedule is kept and will be there when it is back.")
    elif as_json:
        emit(made)
    else:
        typer.echo(f"{made.id} {made.state}{_next(made)}")


def _spec(file: str | None, options: dict[str, Any]) -> ScheduleSpec:
    from contracts.documents import Document, checked
    from contracts.errors import InvalidError
    from contracts.schedules import ScheduleSpec

    from .specs import merge, read_file

    documents = read_file(file) if file else [Document({})]
    if len(documents) != 1:
        raise InvalidError(f"{file} holds {len(documents)} documents; a schedule is one")
    return checked(ScheduleSpec, merge(documents[0].value, options), "the schedule", documents[0])


@app.command("list")
def list_schedules(
    ctx: typer.Context,
    name: Annotated[_Text, typer.Option("--name", "-n", help="Only this name.")] = None,
    owner: Annotated[_Text, typer.Option(help="Only this owner's.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="At most so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List schedules with their next and last run.

    Example: `shunter schedule list`
    """
    with session_of(ctx).client() as client:
        found = client.list_schedules(name=name, owner=owner, limit=limit).items
    if as_json:
        emit(found)
        return
    from rich.markup import escape

    rows = table("ID", "NAME", "WHEN", "STATE", "RUNS", "NEXT", "LAST", right=("RUNS",))
    for one in found:
        last = one.recent_runs[0] if one.recent_runs else None
        rows.add_row(
            one.id,
            escape(one.spec.name),
            escape(_when(one.spec)),
            one.state.value,
            str(one.runs),
            usual_time(one.next_runs[0] if one.next_runs else None),
            f"{usual_time(last.scheduled_for)} {last.outcome}" if last else "-",
        )
    console().print(rows)


@app.command("show")
def show(ctx: typer.Context, schedule: _Schedule, as_json: AsJson = False) -> None:
    """Show a schedule: when it runs, what it did, and why a run was refused.

    Example: `shunter schedule show report`
    """
    with session_of(ctx).client() as client:
        found = client.get_schedule(_find(client, schedule))
    if as_json:
        emit(found)
        return
    from rich.markup import escape

    typer.echo(f"{found.id}  {found.spec.name}")
    typer.echo(f"  state    {found.state}, {found.runs} runs, revision {found.revision}")
    typer.echo(f"  when     {_when(found.spec)}, overlap {found.spec.overlap}")
    typer.echo(f"  next     {', '.join(usual_time(moment) for moment in found.next_runs) or '-'}")
    if found.last_error:
        typer.secho(f"  trouble  {found.last_error}", fg="red")
    rows = table("SCHEDULED FOR", "OUTCOME", "JOB", "WHY")
    for run in found.recent_runs:
        how = f"{run.outcome}{', by hand' if run.by_hand else ''}"
        rows.add_row(usual_time(run.scheduled_for), how, run.job_id, escape(run.message))
    console().print(rows)


@app.command("pause")
def pause(ctx: typer.Context, schedule: _Schedule, as_json: AsJson = False) -> None:
    """Make no more jobs for now.

    Example: `shunter schedule pause report`
    """
    with session_of(ctx).client() as client:
        schedule_id = _find(client, schedule)
        _tell(schedule_id, client.pause_schedule(schedule_id), as_json=as_json)


@app.command("resume")
def resume(ctx: typer.Context, schedule: _Schedule, as_json: AsJson = False) -> None:
    """Go on making jobs.

    Example: `shunter schedule resume report`
    """
    with session_of(ctx).client() as client:
        schedule_id = _find(client, schedule)
        _tell(schedule_id, client.resume_schedule(schedule_id), as_json=as_json)


@app.command("trigger")
def trigger(ctx: typer.Context, schedule: _Schedule, as_json: AsJson = False) -> None:
    """Make one job now, whatever is running; a paused schedule too.

    Example: `shunter schedule trigger report`
    """
    from contracts.schedules import RunOutcome

    from .outcomes import ExitCode, leave

    with session_of(ctx).client() as client:
        schedule_id = _find(client, schedule)
        run = client.trigger_schedule(schedule_id)
    if as_json:
        emit(run or {"id": schedule_id, "status": "pending"})
    else:
        typer.echo(f"{run.job_id} {run.outcome}{f': {run.message}' if run.message else ''}" if run else "kept")
    if run is not None and run.outcome is RunOutcome.REFUSED:
        raise leave(ExitCode.FAILED)


@app.command("rm")
def remove(ctx: typer.Context, schedule: _Schedule, as_json: AsJson = False) -> None:
    """Make no more jobs, ever; those that were made stay.

    Example: `shunter schedule rm report`
    """
    with session_of(ctx).client() as client:
        schedule_id = _find(client, schedule)
        done = client.delete_schedule(schedule_id)
    if as_json:
        emit({"id": schedule_id, "status": "deleted" if done else "pending"})
    else:
        typer.echo(f"{schedule_id} {'is gone' if done else 'will be removed'}")


def _find(client: Client, wanted: str) -> str:
    """Return the identifier: itself, or that of the one schedule of this name."""
    return find_by_name(wanted, "sch", "schedule", lambda: client.list_schedules(name=wanted, limit=5).items)


def _tell(schedule_id: str, found: Schedule | None, *, as_json: bool) -> None:
    if as_json:
        emit(found or {"id": schedule_id, "status": "pending"})
    else:
        typer.echo(f"{schedule_id} {found.state}{_next(found)}" if found else f"{schedule_id} kept")


def _next(schedule: Schedule) -> str:
    return f", next run {usual_time(schedule.next_runs[0])}" if schedule.next_runs else ""


def _when(spec: ScheduleSpec) -> str:
    from .printing import duration

    cron = f"{spec.cron} ({spec.time_zone})" if spec.cron else None
    every = f"every {duration(spec.every.total_seconds())}" if spec.every else None
    return " and ".join(part for part in (cron, every) if part)
