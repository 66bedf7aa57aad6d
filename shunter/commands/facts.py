"""`whoami`, `version`."""

from __future__ import annotations

import typer

from .printing import emit
from .session import AsJson, session_of

__all__ = ["client_version", "version", "whoami"]


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
