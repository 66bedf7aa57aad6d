"""`files versions`, `trash`, `restore`, `empty-trash`: what files were before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .printing import console, emit, size, table, usual_time
from .session import AsJson, session_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from contracts.shelves import Gone, Version
    from shunter.client import Client

__all__ = ["empty_trash", "restore", "trash", "versions"]

_LATER = "storage is away; it will be done when it is back"

_Path = Annotated[str | None, typer.Argument(help="Only this file, or this folder.", show_default="all")]


def versions(ctx: typer.Context, path: _Path = None, as_json: AsJson = False) -> None:
    """List what files were before they were overwritten, and until when it can be brought back.

    Example: `shunter files versions data/digits.csv`, then `shunter files restore --version ID`
    """
    from contracts.shelves import Gone

    _show(ctx, path, [Gone.OVERWRITTEN], as_json=as_json)


def trash(ctx: typer.Context, path: _Path = None, as_json: AsJson = False) -> None:
    """List deleted files, and until when they can be brought back.

    Example: `shunter files trash data/`, then `shunter files restore -r data`
    """
    from contracts.shelves import Gone

    _show(ctx, path, [Gone.DELETED, Gone.EXPIRED], as_json=as_json)


def restore(
    ctx: typer.Context,
    path: Annotated[str | None, typer.Argument(help="A deleted file, or with -r a folder.", show_default=False)] = None,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="All that was deleted in a folder.")] = False,
    version: Annotated[str | None, typer.Option("--version", help="A version instead, by its id.")] = None,
    to: Annotated[str | None, typer.Option("--to", help="The name that the version shall have.")] = None,
    as_json: AsJson = False,
) -> None:
    """Bring deleted files back, or let a file be as it was.

    What has the name of a deleted file again stays; what a version takes the place of is a version in turn.

    Example: `shunter files restore data/digits.csv`
    """
    if (path is None) == (version is None):
        raise typer.BadParameter("say either what is to come back from the trash, or --version")
    with session_of(ctx).client() as client:
        if version is not None:
            found = client.folders.restore_version(version, to)
        else:
            found = client.folders.restore((path or "").rstrip("/"), folder=recursive)
    if as_json:
        emit({"path": None if found is None else found.path, "restored": None if found is None else found.restored})
    else:
        typer.echo(_LATER if found is None else f"{found.path} is back" + _counted(found.restored))


def empty_trash(
    ctx: typer.Context,
    path: _Path = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Do away with deleted files for good.

    Example: `shunter files empty-trash --yes data/old`
    """
    if not yes:
        typer.confirm(f"Nobody can bring back what is in the trash{f' of {path}' if path else ''}. Go on?", abort=True)
    with session_of(ctx).client() as client:
        found = client.folders.empty_trash(path.rstrip("/") if path else None)
    if as_json:
        emit({"purged": None if found is None else found.purged})
    else:
        typer.echo(_LATER if found is None else f"{found.purged} files are gone for good")


def _counted(number: int) -> str:
    return f": {number} files" if number != 1 else ""


def _show(ctx: typer.Context, path: str | None, reasons: Sequence[Gone], *, as_json: bool) -> None:
    with session_of(ctx).client() as client:
        found = _collect(client, path.rstrip("/") if path else None, reasons)
    if as_json:
        emit({"items": [version.model_dump(mode="json") for version in found]})
        return
    from rich.markup import escape

    rows = table("PATH", "SIZE", "WENT", "WHY", "KEPT UNTIL", "ID", right=("SIZE",))
    for one in found:
        times = usual_time(one.gone_at), one.reason.value, usual_time(one.kept_until)
        rows.add_row(escape(one.path), size(one.size), *times, one.id)
    console().print(rows)


def _collect(client: Client, path: str | None, reasons: Sequence[Gone]) -> list[Version]:
    """Go through all pages."""
    found: list[Version] = []
    cursor: str | None = None
    while True:
        page = client.folders.list_versions(path, reasons, limit=500, cursor=cursor)
        found += page.items
        if (cursor := page.next_cursor) is None:
            return found
