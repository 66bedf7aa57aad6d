"""`doctor`: what is wrong, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .outcomes import ExitCode, leave
from .printing import emit
from .session import AsJson, session_of

if TYPE_CHECKING:
    from shunter.diagnosis import Finding

__all__ = ["doctor"]


def doctor(
    ctx: typer.Context,
    stack: Annotated[bool, typer.Option("--stack", help="Can this machine run `shunter up`? Asks no server.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check the way to the server, and for admins the whole site: work that stands still, queues, disks, runners.

    Example: `shunter doctor`. For everything that is not well it says what to do; exit 5 if anything is not.
    """
    found: list[Finding] = []
    for finding in _findings_of_stack() if stack else _findings_of_server(ctx):
        found.append(finding)
        if not as_json:
            _print_finding(finding)
    if as_json:
        emit({"ok": all(one.ok for one in found), "findings": [asdict(one) for one in found]})
    raise leave(ExitCode.OK if all(one.ok for one in found) else ExitCode.SERVER)


def _findings_of_server(ctx: typer.Context) -> Iterator[Finding]:
    from shunter.diagnosis import diagnose

    with session_of(ctx).client() as client:
        yield from diagnose(client)


def _findings_of_stack() -> Iterator[Finding]:
    """Look for what the embedded stack stands on."""
    import shutil

    from deploy.local.servers import StartError, find_binary
    from shunter.diagnosis import Finding

    for name in ("nats-server", "temporal", "weed"):
        try:
            yield Finding(f"program: {name}", ok=True, detail=find_binary(name))
        except StartError as error:
            yield Finding(f"program: {name}", ok=False, detail=str(error), advice="run `make install`")
    free = shutil.disk_usage(Path.cwd()).free
    advice = "" if free > 2**30 else "give it at least 1 GiB, or say --data to put it elsewhere"
    yield Finding("disk", ok=free > 2**30, detail=f"{free / 2**30:.1f} GiB free here", advice=advice)


def _print_finding(finding: Finding) -> None:
    mark = typer.style("ok  ", fg="green") if finding.ok else typer.style("FAIL", fg="red")
    typer.echo(f"{mark}  {finding.check:<24} {finding.detail}")
    for line in (*finding.evidence, *([f"because: {finding.cause}"] if finding.cause else ())):
        typer.echo(f"      {'':<24} {line}")
    if finding.advice:
        typer.echo(f"      {'':<24} → {finding.advice}")
