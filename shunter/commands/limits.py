"""`files usage`, `limits`, `limit` and `unlimit`: what files come to, and what folders may hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .printing import console, emit, size, table
from .session import AsJson, session_of

if TYPE_CHECKING:
    from contracts.shelves import FolderRule

__all__ = ["limit", "limits", "unlimit", "usage"]

_Folder = Annotated[str, typer.Argument(help="A folder; `/` is everything, which only admins bound.")]
_Owner = Annotated[str | None, typer.Option("--owner", "-o", help="Of this user; for admins.")]


def usage(ctx: typer.Context, owner: _Owner = None, as_json: AsJson = False) -> None:
    """Show what your files come to, what they may come to, and what is kept besides.

    Versions and the trash do not count against the quota; what is on its way does.

    Example: `shunter files usage`
    """
    with session_of(ctx).client() as client:
        found = client.folders.get_usage(owner=owner)
    if as_json:
        emit(found)
        return
    rows = table("WHAT", "FILES", "SIZE", right=("FILES", "SIZE"))
    rows.add_row("files", str(found.files), size(found.size))
    for name, amount in (("on their way", found.uploads), ("versions", found.versions), ("trash", found.trash)):
        rows.add_row(name, str(amount.files), size(amount.size))
    rows.add_row("quota", "", size(found.quota))
    console().print(rows)


def limits(ctx: typer.Context, owner: _Owner = None, as_json: AsJson = False) -> None:
    """List what folders may hold, and after which time files in them go to the trash.

    Example: `shunter files limits`
    """
    with session_of(ctx).client() as client:
        found = client.folders.list_rules(owner=owner)
    if as_json:
        emit(found)
        return
    from rich.markup import escape

    rows = table("FOLDER", "QUOTA", "EXPIRES AFTER", "SAID BY", right=("QUOTA",))
    for rule in found.items:
        rows.add_row(escape(rule.path or "/"), size(rule.quota), _time(rule), escape(rule.changed_by))
    console().print(rows)


def limit(
    ctx: typer.Context,
    folder: _Folder,
    quota: Annotated[str | None, typer.Option("--quota", help="What its files may come to: `10GB`.")] = None,
    expire: Annotated[
        str | None, typer.Option("--expire", help="Files go to the trash so long after they came: `14d`.")
    ] = None,
    owner: _Owner = None,
    as_json: AsJson = False,
) -> None:
    """Bound a folder, in the place of what was said of it before.

    Example: `shunter files limit data/incoming --quota 10GB --expire 14d`
    """
    from pydantic import ValidationError

    from contracts.shelves import FolderRuleSpec

    if quota is None and expire is None:
        raise typer.BadParameter("say --quota or --expire, or both")
    try:
        rule = FolderRuleSpec.model_validate({"quota": quota, "expires_after": expire})
    except ValidationError as error:
        raise typer.BadParameter(error.errors()[0]["msg"]) from None
    with session_of(ctx).client() as client:
        found = client.folders.set_rule(folder.strip("/") or None, rule, owner=owner)
    if as_json:
        emit({"folder": folder, "set": found is not None})
    else:
        typer.echo(f"{folder} {'is bounded' if found else 'will be bounded when the storage service is back'}")


def unlimit(ctx: typer.Context, folder: _Folder, owner: _Owner = None, as_json: AsJson = False) -> None:
    """Bound a folder no more.

    Example: `shunter files unlimit data/incoming`
    """
    with session_of(ctx).client() as client:
        done = client.folders.drop_rule(folder.strip("/") or None, owner=owner)
    if as_json:
        emit({"folder": folder, "dropped": done})
    else:
        typer.echo(f"{folder} {'is not bounded any more' if done else 'will be free when the storage service is back'}")


def _time(rule: FolderRule) -> str:
    return "-" if rule.expires_after is None else str(rule.expires_after)
