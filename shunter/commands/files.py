"""`files`: ls, put, get, zip, form, rm; the command line adds more."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .bars import Bars, transfer_bars
from .bulk import open_form, zip_folder
from .printing import console, emit, size, table, usual_time
from .selection import find_job_id
from .session import AsJson, session_of

if TYPE_CHECKING:
    from contracts.files import FileRecord
    from shunter.client import Client

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown", help="Your files and folders.")
app.command("zip")(zip_folder)
app.command("form")(open_form)

_OfJob = Annotated[str | None, typer.Option("--job", "-j", help="What this job left behind, instead of your files.")]

_OfOwner = Annotated[str | None, typer.Option("--owner", "-o", help="What this user shares, instead of your files.")]


@app.command("ls")
def list_files(
    ctx: typer.Context,
    prefix: Annotated[str, typer.Argument(help="A folder, or the beginning of paths.")] = "",
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="With all that is in folders.")] = False,
    job: _OfJob = None,
    owner: _OfOwner = None,
    as_json: AsJson = False,
) -> None:
    """List files with their sizes and checksums.

    Example: `shunter files ls data/`
    """
    with session_of(ctx).client() as client:
        if job:
            _list_outputs(client, find_job_id(client, job), prefix, as_json=as_json)
            return
        records, folders = _collect(client, prefix, owner, recursive=recursive)
        if not records and folders == [f"{prefix}/"]:  # like `ls`, the name of a folder means what is in it
            records, folders = _collect(client, folders[0], owner, recursive=recursive)
    if as_json:
        emit({"items": [record.model_dump(mode="json") for record in records], "folders": folders})
        return
    from rich.markup import escape

    rows = table("PATH", "SIZE", "CHANGED", "SHA256", right=("SIZE",))
    for folder in folders:
        rows.add_row(escape(folder), "", "", "")
    for record in records:
        rows.add_row(escape(record.path), size(record.size), usual_time(record.created_at), record.sha256)
    console().print(rows)


def _list_outputs(client: Client, job_id: str, prefix: str, *, as_json: bool) -> None:
    found = [file for file in client.list_outputs(job_id) if file.path.startswith(prefix)]
    if as_json:
        emit(found)
        return
    from rich.markup import escape

    rows = table("PATH", "SIZE", "SHA256", right=("SIZE",))
    for file in found:
        rows.add_row(escape(file.path), size(file.size), file.sha256)
    console().print(rows)


def _collect(client: Client, prefix: str, owner: str | None, *, recursive: bool) -> tuple[list[FileRecord], list[str]]:
    """Go through all pages."""
    records: list[FileRecord] = []
    folders: dict[str, None] = {}
    cursor: str | None = None
    while True:
        if owner:
            page = client.sharing.list_files(owner, prefix, recursive=recursive, limit=500, cursor=cursor)
        else:
            page = client.list_files(prefix, recursive=recursive, limit=500, cursor=cursor)
        records += page.items
        folders.update({folder.path: None for folder in page.folders})
        cursor = page.next_cursor
        if not cursor:
            return records, list(folders)


@app.command("put")
def put_files(
    ctx: typer.Context,
    local: Annotated[Path, typer.Argument(exists=True, help="A file, or a folder with -r.")],
    remote: Annotated[
        str | None, typer.Argument(help="Where to; a name that ends with `/` is a folder.", show_default="its own name")
    ] = None,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="A folder with all that is in it.")] = False,
    owner: _OfOwner = None,
    as_json: AsJson = False,
) -> None:
    """Bring files; each is checksummed, and a broken upload is taken up again by the same command.

    Example: `shunter files put digits.npz data/`
    """
    if local.is_dir() and not recursive:
        raise typer.BadParameter(f"{local} is a folder; say -r to bring all that is in it")
    with session_of(ctx).client() as client, transfer_bars() as bars:
        records = [_put(client, file, place, bars, owner) for file, place in _pairs_to_put(local, remote)]
    if as_json:
        emit(records if recursive else records[0])
        return
    for record in records:
        typer.echo(f"{record.sha256}  {record.path}  {size(record.size)}")


def _pairs_to_put(local: Path, remote: str | None) -> list[tuple[Path, str]]:
    name = local.resolve().name
    if local.is_dir():
        base = (name if remote is None else remote).strip("/")
        files = sorted(file for file in local.rglob("*") if file.is_file())
        return [(file, "/".join(filter(None, (base, file.relative_to(local).as_posix())))) for file in files]
    if remote is None:
        return [(local, name)]
    return [(local, f"{remote}{name}" if remote.endswith("/") else remote)]


def _put(client: Client, local: Path, remote: str, bars: Bars, owner: str | None) -> FileRecord:
    if owner:
        return client.sharing.upload(owner, local, remote, progress=bars(local.name))
    return client.upload(local, remote, progress=bars(local.name))


@app.command("get")
def get_files(
    ctx: typer.Context,
    remote: Annotated[str, typer.Argument(help="A file, or with -r a folder; with -r, `/` is everything.")],
    local: Annotated[
        Path | None, typer.Argument(help="Where to; a folder that exists takes it in.", show_default="here")
    ] = None,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="A folder with all that is in it.")] = False,
    job: _OfJob = None,
    owner: _OfOwner = None,
    as_json: AsJson = False,
) -> None:
    """Fetch files; each is verified by its checksum before it takes its place, and a broken download is resumed.

    Example: `shunter files get --job last model.joblib`
    """
    from .fetching import Fetch

    with session_of(ctx).client() as client, transfer_bars() as bars:
        fetch = Fetch(client, find_job_id(client, job) if job else None, bars, owner=owner)
        plan = fetch.plan(remote, local, recursive=recursive)
        found = [(target, fetch.one(path, target)) for path, target in plan]
    if as_json:
        items = [{"path": str(target), "size": grant.size, "sha256": grant.sha256} for target, grant in found]
        emit({"items": items})
        return
    for target, grant in found:
        typer.echo(f"{grant.sha256}  {target}  {size(grant.size)}")


@app.command("rm")
def remove_files(
    ctx: typer.Context,
    path: Annotated[str, typer.Argument(help="A file, or with -r a folder.")],
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="A folder with all that is in it.")] = False,
    forever: Annotated[bool, typer.Option("--forever", help="Past the trash: nobody can bring it back.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove a file, or a folder with all that is in it. For a while it can be brought back from the trash.

    Example: `shunter files rm -r data/old`
    """
    with session_of(ctx).client() as client:
        done = client.delete_file(path, recursive=recursive, forever=forever)
    if as_json:
        emit({"path": path, "deleted": done})
    else:
        typer.echo(f"{path} {'removed' if done else 'will be removed when the storage service is back'}")
