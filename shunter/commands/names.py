"""`files mkdir` and `files mv`."""

from __future__ import annotations

from typing import Annotated

import typer

from .printing import emit
from .session import AsJson, session_of

__all__ = ["make_folder", "move"]


def make_folder(
    ctx: typer.Context, path: Annotated[str, typer.Argument(help="The folder.")], as_json: AsJson = False
) -> None:
    """Make a folder that is there also while nothing is in it.

    Folders need not be made before files are put into them.

    Example: `shunter files mkdir data/incoming`
    """
    with session_of(ctx).client() as client:
        done = client.folders.make(path.rstrip("/"))
    if as_json:
        emit({"path": f"{path.rstrip('/')}/", "made": done})
    else:
        typer.echo(f"{path} {'is there' if done else 'will be made when the storage service is back'}")


def move(
    ctx: typer.Context,
    path: Annotated[str, typer.Argument(help="A file, or with -r a folder.")],
    to: Annotated[str, typer.Argument(help="The new name; one that ends with `/` is a folder that takes it in.")],
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="A folder with all that is in it.")] = False,
    force: Annotated[
        bool, typer.Option("--force", "-f", help="Overwrite what is there; it can be brought back for a while.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Move or rename a file, or a folder with all that is in it: at once, whatever its size.

    Nobody ever sees a half of it, and no bytes travel. With whom a folder is shared stays with its name.

    Example: `shunter files mv -r data/incoming data/2026-11`
    """
    source = path.rstrip("/")
    target = f"{to}{source.rsplit('/', 1)[-1]}" if to.endswith("/") else to
    with session_of(ctx).client() as client:
        moved = client.folders.move(source, target, folder=recursive, replace=force)
    if as_json:
        emit({"path": target, "moved": None if moved is None else moved.moved})
    elif moved is None:
        typer.echo(f"{source} will be moved when the storage service is back")
    else:
        typer.echo(f"{source} is {moved.path} now" + (f", with {moved.moved} files" if recursive else ""))
