"""`share`, `unshare`, `shares`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from .printing import console, emit, emit_line, table, usual_time
from .selection import find_job_id
from .session import AsJson, session_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from contracts.grants import Grant, GrantPage
    from shunter.client import Client

__all__ = ["share", "shares", "unshare"]

_Thing = Annotated[
    str,
    typer.Argument(metavar="JOB|FOLDER/", help="A job (id, name or `last`), or a folder: what has a `/` is one."),
]
_With = Annotated[
    list[str],
    typer.Option("--with", "-w", metavar="WHOM", help="`user:ada`, `project:vision` or `token:ID`; may be repeated."),
]
_Owner = Annotated[str | None, typer.Option(help="Whose folder, for admins; by default yours.")]


def share(
    ctx: typer.Context,
    thing: _Thing,
    whom: _With,
    right: Annotated[
        Literal["read", "control"], typer.Option("--right", "-r", help="`control` also steers, or writes.")
    ] = "read",
    until: Annotated[str | None, typer.Option(help="When it ends: `+2h`, `18:00`, `2030-01-31T18:00`.")] = None,
    owner: _Owner = None,
    as_json: AsJson = False,
) -> None:
    """Let others look at a job or a folder, or control it.

    Example: `shunter share last --with user:ada --right control --until +2h`
    """
    from contracts.grants import Right

    moment = _moment(until)
    with session_of(ctx).client() as client:
        sharing, folder = client.sharing, _folder(thing)
        job_id = "" if folder else find_job_id(client, thing)
        for grantee in whom:
            if folder:
                found = sharing.share_folder(folder, grantee, Right(right), until=moment, owner=owner)
            else:
                found = sharing.share_job(job_id, grantee, Right(right), until=moment)
            if as_json:
                emit_line(found or {"grantee": grantee, "status": "pending"})
            else:
                typer.echo(f"{folder or job_id} {grantee} {_told(found) or f'gets {right} when the service is back'}")


def unshare(ctx: typer.Context, thing: _Thing, whom: _With, owner: _Owner = None, as_json: AsJson = False) -> None:
    """Take back what was shared; it is over at once.

    Example: `shunter unshare data/shared/ --with project:vision`
    """
    with session_of(ctx).client() as client:
        folder = _folder(thing)
        job_id = "" if folder else find_job_id(client, thing)
        for grantee in whom:
            if folder:
                done = client.sharing.unshare_folder(folder, grantee, owner=owner)
            else:
                done = client.sharing.unshare_job(job_id, grantee)
            if as_json:
                emit_line({"grantee": grantee, "done": done})
            else:
                ends = "nothing more" if done else "loses it when the service is back"
                typer.echo(f"{folder or job_id} {grantee} {ends}")


def shares(
    ctx: typer.Context,
    thing: Annotated[
        str | None, typer.Argument(metavar="[JOB|FOLDER/]", help="By default what others share with you.")
    ] = None,
    given: Annotated[bool, typer.Option("--given", help="All folders that you share.")] = False,
    owner: _Owner = None,
    as_json: AsJson = False,
) -> None:
    """Show what others share with you, or with whom a job or a folder is shared.

    Example: `shunter shares`, `shunter shares last`, `shunter shares data/shared/`
    """
    with session_of(ctx).client() as client:
        found = list(_pages(_asked(client, thing, owner, given=given)))
    if as_json:
        emit(found)
        return
    from rich.markup import escape

    rows = table("WHAT", "OWNER", "WHOM", "RIGHT", "SINCE", "UNTIL")
    for grant in found:
        ends = usual_time(grant.expires_at)
        since = usual_time(grant.created_at)
        rows.add_row(escape(_name_of(grant)), escape(grant.owner), escape(grant.grantee), grant.right, since, ends)
    console().print(rows)


def _asked(client: Client, thing: str | None, owner: str | None, *, given: bool) -> Callable[[str | None], GrantPage]:
    sharing = client.sharing
    if thing is None:
        if given or owner:
            return lambda cursor: sharing.list_folder_grants(owner=owner, cursor=cursor)
        return lambda cursor: sharing.list_shared(cursor=cursor)
    if folder := _folder(thing):
        return lambda cursor: sharing.list_folder_grants(folder, owner=owner, cursor=cursor)
    job_id = find_job_id(client, thing)
    return lambda cursor: sharing.list_job_grants(job_id, cursor=cursor)


def _pages(ask: Callable[[str | None], GrantPage]) -> Iterator[Grant]:
    cursor: str | None = None
    while True:
        page = ask(cursor)
        yield from page.items
        if (cursor := page.next_cursor) is None:
            return


def _folder(thing: str) -> str | None:
    """Return the folder that is meant; no job's name has a `/`."""
    return (thing.strip("/") or None) if "/" in thing else None


def _told(grant: Grant | None) -> str:
    if grant is None:
        return ""
    return f"{grant.right} until {usual_time(grant.expires_at)}" if grant.expires_at else grant.right.value


def _name_of(grant: Grant) -> str:
    return grant.job_id or f"{grant.folder}/"


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    from .moments import read_moment

    return datetime.fromisoformat(read_moment(text, datetime.now().astimezone()))
