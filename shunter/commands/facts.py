"""`backends`, `whoami`, `version`."""

from __future__ import annotations

import typer

from .printing import console, emit, size, table
from .session import AsJson, session_of

__all__ = ["backends", "client_version", "version", "whoami"]


def backends(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List the clusters and what is free on them.

    Example: `shunter backends`
    """
    with session_of(ctx).client() as client:
        found = client.list_backends()
    if as_json:
        emit(found)
        return
    from rich.markup import escape

    rows = table("BACKEND", "KIND", "WELL", "CPUS FREE", "MEMORY FREE", "GPUS FREE", "RUNNING", "QUEUED")
    for one in found:
        well = "[green]yes[/green]" if one.healthy else f"[red]no[/red] {escape(one.detail)}"
        cpus = "-" if one.cpus is None else f"{_figure(one.cpus_free)} of {one.cpus:g}"
        memory = "-" if one.memory is None else f"{size(one.memory_free)} of {size(one.memory)}"
        models = f" {escape(', '.join(one.gpu_models))}" if one.gpu_models else ""
        gpus = f"{one.gpus_free} of {one.gpus}{models}"
        rows.add_row(escape(one.backend), one.kind, well, cpus, memory, gpus, str(one.running), str(one.queued))
    console().print(rows)


def _figure(value: float | None) -> str:
    return "?" if value is None else f"{value:g}"


def whoami(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Say whom the server takes you for.

    Example: `shunter whoami`
    """
    with session_of(ctx).client() as client:
        found = client.who_am_i()
    if as_json:
        emit(found)
        return
    projects = ", ".join(f"{name} ({level})" for name, level in found.projects.items()) or "none"
    roles = ", ".join(sorted(found.roles)) or "none"
    typer.echo(f"{found.subject}\n  projects  {projects}\n  roles     {roles}\n  known by  {found.issuer}")


def version(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Say which version this is, and which one answers.

    Example: `shunter version`
    """
    from contracts.errors import ShunterError

    session = session_of(ctx)
    try:
        with session.client() as client:
            server = str(client.get_readiness().get("version") or "unknown")
    except ShunterError:
        server = None
    if as_json:
        emit({"client": client_version(), "server": server})
    else:
        typer.echo(f"client {client_version()}\nserver {server or 'does not answer'}")


def client_version() -> str:
    """Return the version of this package."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("shunter")
    except PackageNotFoundError:
        return "unknown"
