"""`worker`: a machine of one's own takes work from a site."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .session import AsJson, session_of

if TYPE_CHECKING:
    import httpx

    from shunter.connection import Connection

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Let a machine of your own take work.")

_HERE = Path(".shunter-worker")

_Login = Annotated[str | None, typer.Option("--login", help="Log in as this user; the password is asked for.")]
_PasswordFile = Annotated[Path | None, typer.Option(help="A file that holds the password, instead of being asked.")]


class _Fetching(StrEnum):
    NEVER = "never"
    MISSING = "missing"
    ALWAYS = "always"


_Engine = Annotated[
    str,
    typer.Option(help="The socket of a container engine, `unix:///…`; `none` runs no images, `auto` looks for one."),
]
_Network = Annotated[str, typer.Option(help="What runs in images has: `bridge`, `none`, `host`, or a network's name.")]
_Images = Annotated[_Fetching, typer.Option("--images", help="When images are fetched from their registries.")]


@app.callback()
def explain() -> None:
    """Let a machine of your own take work."""


@app.command()
def pull(
    ctx: typer.Context,
    backend: Annotated[str, typer.Option(help="Whose work to take.")] = "pull",
    login: _Login = None,
    password_file: _PasswordFile = None,
    name: Annotated[str | None, typer.Option(help="What to call this machine; by default its host's name.")] = None,
    work: Annotated[Path, typer.Option(help="The folder in which jobs run.")] = _HERE,
    cpus: Annotated[float | None, typer.Option(help="Cores to give out; by default all.")] = None,
    memory: Annotated[str | None, typer.Option(help="For example `16GiB`; by default all.")] = None,
    gpus: Annotated[int | None, typer.Option(min=0, help="GPUs to give out; by default all.")] = None,
    gpu_architecture: Annotated[str | None, typer.Option(help="Theirs, for example `ampere`.")] = None,
    engine: _Engine = "auto",
    network: _Network = "bridge",
    images: _Images = _Fetching.MISSING,
    as_json: AsJson = False,
) -> None:
    """Take jobs from the site and run them here, until Ctrl-C.

    Example: `shunter --url https://shunter.example worker pull --login lab-7 --password-file ~/lab-7.secret`.

    The machine dials out only. Jobs run as the user who starts this; whoever may submit to the backend runs programs
    here. A machine that says nothing for a while loses its jobs to another one; started again in time in the same
    folder, it goes on with what runs.

    Where there is a container engine, jobs that have an image run in it: without privileges, as a user who is not root,
    with the cores and the memory that they ask for, their inputs read-only at `/files`. Else only jobs come that need
    no image. `--network none` keeps what runs in images from the network.
    """
    from deploy.local.worker import WorkerOptions, find_engine, run_worker

    connection = session_of(ctx).connection()
    auth = _password_auth(connection, login, password_file)
    options = WorkerOptions(
        work=work,
        backend=backend,
        name=name,
        cpus=cpus,
        memory=memory,
        gpus=gpus,
        architecture=gpu_architecture,
        engine=find_engine(engine),
        network=network,
        pull=images.value,
        as_json=as_json,
    )
    run_worker(lambda: _connect(connection, auth), options)


def _connect(connection: Connection, auth: httpx.Auth | None) -> httpx.AsyncClient:
    import httpx

    from shunter.wire import async_wire

    found = async_wire(connection)
    if auth is not None:
        found |= {"auth": auth, "headers": {}}
    return httpx.AsyncClient(**found)


def _password_auth(connection: Connection, username: str | None, file: Path | None) -> httpx.Auth | None:
    from pydantic import SecretStr

    from contracts.errors import InvalidError
    from shunter.login.password import PasswordAuth

    if username is None:
        if file is not None:
            raise typer.BadParameter("goes with --login", param_hint="--password-file")
        return None
    if file is None:
        password = typer.prompt("Password", hide_input=True, err=True)
    else:
        try:
            password = file.expanduser().read_text().strip()
        except OSError as error:
            raise InvalidError(f"the password file {file} cannot be read: {error.strerror}") from error
    return PasswordAuth(connection.base_url, username, SecretStr(password))
