"""`backends`: the clusters, how they stand, whether they keep their promises, and taking them out of service."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from .outcomes import ExitCode, ShunterGroup, leave
from .printing import console, duration, emit, note, size, table, usual_time
from .session import AsJson, session_of

if TYPE_CHECKING:
    from contracts.backends import BackendView

__all__ = ["app"]

app = typer.Typer(cls=ShunterGroup, invoke_without_command=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="One of those that `shunter backends` lists.")]

_COLOURS = {"up": "green", "down": "red", "draining": "yellow"}


@app.callback()
def backends(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List the clusters and what is free on them; show, check, drain or resume one.

    Example: `shunter backends`
    """
    if ctx.invoked_subcommand is not None:
        return
    with session_of(ctx).client() as client:
        found = client.list_backends()
    if as_json:
        emit(found)
        return
    from rich.markup import escape

    rows = table("BACKEND", "KIND", "STATE", "CPUS FREE", "MEMORY FREE", "GPUS FREE", "RUNNING", "QUEUED")
    for one in found:
        state = f"[{_COLOURS[_state(one)]}]{_state(one)}[/] {escape(_why(one))}".strip()
        cpus = "-" if one.cpus is None else f"{_figure(one.cpus_free)} of {one.cpus:g}"
        memory = "-" if one.memory is None else f"{size(one.memory_free)} of {size(one.memory)}"
        rows.add_row(escape(one.backend), one.kind, state, cpus, memory, _gpus(one), str(one.running), str(one.queued))
    console().print(rows)


def _state(one: BackendView) -> str:
    """Return how it stands; an older server says no more than whether it is well."""
    return "down" if one.state == "up" and not one.healthy else one.state.value


def _why(one: BackendView) -> str:
    """Say why a backend does not take work."""
    if one.drain is None:
        return one.detail
    return f"by {one.drain.by}{': ' + one.drain.message if one.drain.message else ''}"


def _figure(value: float | None) -> str:
    return "?" if value is None else f"{value:g}"


def _gpus(one: BackendView) -> str:
    from rich.markup import escape

    return f"{one.gpus_free} of {one.gpus}{' ' + escape(', '.join(one.gpu_models)) if one.gpu_models else ''}"


@app.command()
def show(ctx: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """Show one: its state, its room, where it stands, what it costs and lets jobs do.

    Example: `shunter backends show local`
    """
    with session_of(ctx).client() as client:
        found = client.clusters.get(name)
    if as_json:
        emit(found)
    else:
        _print(found)


def _print(one: BackendView) -> None:
    said = {"state": f"{_state(one)} {_why(one)}".strip(), "kind": one.kind}
    if one.drain and one.drain.at:
        said["since"] = usual_time(one.drain.at)
    if one.cpus is not None:
        said["cpus"] = f"{_figure(one.cpus_free)} of {one.cpus:g} free, {_figure(one.largest_cpus)} on one node"
        said["memory"] = f"{size(one.memory_free)} of {size(one.memory)} free"
    models = f" ({', '.join(one.gpu_models)})" if one.gpu_models else ""
    said |= {"gpus": f"{one.gpus_free} of {one.gpus} free{models}", "jobs": f"{one.running} run, {one.queued} queue"}
    said["able to"] = ", ".join(one.capabilities) or "-"
    said["site"] = one.site or "-"
    said["labels"] = ", ".join(f"{label}={value}" for label, value in one.labels.items()) or "-"
    said["near"] = ", ".join(one.near) or "-"
    said["cost"] = f"{one.cost.cpu_hour:g} a cpu-hour, {one.cost.gpu_hour:g} a gpu-hour" if one.cost else "-"
    said["walltime"] = f"at most {duration(one.walltime)}" if one.walltime else "as long as asked for"
    said["network"] = "yes" if one.network else "no"
    said["takes"] = "only jobs that name it" if one.on_request else "any job"
    typer.echo(one.backend)
    for label, value in said.items():
        typer.echo(f"  {label:<9} {value}")


@app.command()
def drain(
    ctx: typer.Context,
    name: Name,
    message: Annotated[str, typer.Option("--message", "-m", help="Why; users see it.")] = "",
    as_json: AsJson = False,
) -> None:
    """Give one no new work; what it has runs to its end. For admins of the site.

    Example: `shunter backends drain hpc -m "new disks on Friday"`
    """
    with session_of(ctx).client() as client:
        found = client.clusters.drain(name, message)
    if as_json:
        emit(found)
    else:
        typer.echo(f"{name} is {found.state}: {found.running} run, {found.queued} queue there still")


@app.command()
def resume(ctx: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """Give one work again. For admins of the site.

    Example: `shunter backends resume hpc`
    """
    with session_of(ctx).client() as client:
        found = client.clusters.resume(name)
    if as_json:
        emit(found)
    else:
        typer.echo(f"{name} is {found.state}")


@app.command()
def check(
    ctx: typer.Context,
    name: Name,
    image: Annotated[str | None, typer.Option("--image", help="For clusters that run nothing but containers.")] = None,
    options: Annotated[
        str | None, typer.Option("--options", help='What its kind wants to know, as JSON: `{"partition": "short"}`.')
    ] = None,
    timeout: Annotated[float, typer.Option("--timeout", min=1, help="Seconds for each job, its queueing too.")] = 600,
    keep: Annotated[bool, typer.Option("--keep", help="Leave its jobs and files for a look.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run real, tiny jobs through every promise of a backend, as yourself, and say which it keeps.

    Exit code 1 if one is broken. Example: `shunter backends check hpc`
    """
    from shunter.checking import BackendCheck, Kept

    found, wanted = [], _options(options)
    with session_of(ctx).client() as client:
        checking = BackendCheck(client, client.clusters.get(name), image=image, timeout=timeout, options=wanted)
        for promise in checking.run(keep=keep):
            found.append(promise)
            if not as_json:
                colour = {Kept.YES: "green", Kept.NO: "red"}.get(promise.kept)
                typer.secho(f"{promise.kept.value:<8}", fg=colour, nl=False)
                typer.echo(f" {promise.name:<10} {promise.detail}")
    broken = [promise.name for promise in found if promise.kept is Kept.NO]
    if as_json:
        emit({"backend": name, "ok": not broken, "promises": [promise.to_json() for promise in found]})
    elif broken:
        note(f"{name} breaks: {', '.join(broken)}")
    raise leave(ExitCode.FAILED if broken else ExitCode.OK)


def _options(text: str | None) -> dict[str, object]:
    try:
        found = json.loads(text) if text else {}
    except ValueError as error:
        raise typer.BadParameter(f"--options is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise typer.BadParameter("--options is a JSON object")
    return found
