"""`up`, `down`, `service`: the whole platform on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .printing import emit, note, size
from .session import AsJson

__all__ = ["backup", "down", "gateway", "restore", "service", "up"]

Data = Annotated[Path, typer.Option("--data", envvar="SHUNTER_DATA", help="The folder that keeps everything.")]

_HERE = Path(".shunter")


def up(
    data: Data = _HERE,
    port: Annotated[int, typer.Option(min=1024, max=55_000, help="The first port; the others follow it.")] = 8800,
    demo: Annotated[bool, typer.Option(help="Make demo users and write their tokens to `<data>/demo.json`.")] = False,
    oidc: Annotated[
        bool, typer.Option("--oidc", help="Give the demo users accounts at an OpenID Connect issuer beside the stack.")
    ] = False,
    restart: Annotated[bool, typer.Option(help="Start a part again when it dies.")] = True,
    detach: Annotated[bool, typer.Option(help="Return when everything is ready, and leave it running.")] = False,
    wait: Annotated[float, typer.Option(min=1, help="Seconds within which everything must be ready.")] = 60.0,
    as_json: AsJson = False,
) -> None:
    """Start the whole platform on this machine, until Ctrl-C.

    Example: `shunter up --demo --data ./lab`. The folder keeps everything: started again, it goes on where it was.
    """
    from deploy.local import stack

    if oidc and not demo:
        raise typer.BadParameter("goes with --demo: its accounts are the demo users'", param_hint="--oidc")
    options = stack.UpOptions(
        data=data, port=port, demo=demo, oidc=oidc, restart=restart, detach=detach, wait=wait, as_json=as_json
    )
    raise typer.Exit(stack.up(options))


def down(data: Data = _HERE) -> None:
    """Stop a platform that was started with `shunter up`.

    Example: `shunter down --data ./lab`. Nothing is deleted.
    """
    from deploy.local import stack

    raise typer.Exit(stack.down(data))


def service(
    name: Annotated[str, typer.Argument(help="`gateway`, `scheduler`, `storage`, `accounting` or `runner`.")],
    data: Data = _HERE,
) -> None:
    """Run one part by hand, in the foreground, within a platform that is up.

    Example: `shunter service scheduler --data ./lab`, after its process was killed.
    """
    from deploy.local import stack

    raise typer.Exit(stack.run_service(name, data))


def gateway(
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Where to listen.")],
    dialect: Annotated[
        str | None, typer.Option(help="Serve this API alone, at the root: `psik` answers at `/v1/jobs`.")
    ] = None,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    data: Annotated[
        Path | None,
        typer.Option("--data", envvar="SHUNTER_DATA", help="The site; else as `SHUNTER_CONFIG` says."),
    ] = None,
) -> None:
    """Run one more gateway for a site that is up, in the foreground.

    Example: `shunter gateway --dialect psik --port 8000 --data ./lab`. Old clients keep their URLs.
    """
    from deploy.local.dialect import serve_dialect
    from deploy.local.servers import StartError

    try:
        serve_dialect(dialect, host, port, data)
    except StartError as error:
        note(f"shunter gateway: {error}")
        raise typer.Exit(1) from error


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file: `.tar` or `.tar.gz`.")],
    data: Data = _HERE,
    as_json: AsJson = False,
) -> None:
    """Write everything that the platform on this machine keeps into one file, while it runs.

    Example: `shunter backup --data ./lab lab.tar.gz`. The file holds secrets: keep it as you keep the folder.
    """
    from deploy.local.backup import make_backup
    from deploy.local.servers import StartError

    try:
        done = make_backup(data.absolute(), file.absolute())
    except StartError as error:
        note(f"shunter backup: {error}")
        raise typer.Exit(1) from error
    if as_json:
        emit(done)
    else:
        typer.echo(f"{done['file']}: {size(done['bytes'])}, {done['objects']} objects, {done['messages']} messages")


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `shunter backup` wrote.")],
    data: Data = _HERE,
    as_json: AsJson = False,
) -> None:
    """Make a new data folder from a backup; then start the platform on it.

    Example: `shunter restore lab.tar.gz --data ./lab2`, then `shunter up --data ./lab2`
    """
    from deploy.local.restore import restore_backup
    from deploy.local.servers import StartError

    try:
        done = restore_backup(file.absolute(), data.absolute())
    except StartError as error:
        note(f"shunter restore: {error}")
        raise typer.Exit(1) from error
    if as_json:
        emit(done)
    else:
        typer.echo(f"{done['data']}: as of {done['taken_at']}; start it with `shunter up --data {done['data']}`")
