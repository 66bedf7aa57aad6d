"""`keys`: key pairs that sign requests."""

from __future__ import annotations

from typing import Annotated

import typer

from .outcomes import ShunterGroup
from .printing import console, emit, note, table, usual_time
from .session import AsJson, session_of
from .users import Most

__all__ = ["app"]

app = typer.Typer(cls=ShunterGroup, no_args_is_help=True, help="Key pairs that sign requests.")


@app.command()
def make(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is for.")],
    as_json: AsJson = False,
) -> None:
    """Make a key pair; its secret is shown this once.

    Example: `shunter keys make laptop --json > key.json`
    """
    from contracts.identity import KeyPairWish

    with session_of(ctx).client() as client:
        found = client.identity.make_key(KeyPairWish(name=name))
    if as_json:
        emit(found)
    else:
        typer.echo(f"access key  {found.access_key}\nsecret key  {found.secret_key}")


@app.command("list")
def list_(
    ctx: typer.Context,
    owner: Annotated[str | None, typer.Option(help="Somebody's, for admins.")] = None,
    limit: Most = 100,
    as_json: AsJson = False,
) -> None:
    """List key pairs, without their secrets.

    Example: `shunter keys list`
    """
    with session_of(ctx).client() as client:
        found = client.identity.list_keys(owner=owner, limit=limit)
    if as_json:
        emit(found)
        return
    from rich.markup import escape

    rows = table("ACCESS KEY", "NAME", "OWNER", "MADE")
    for item in found.items:
        rows.add_row(item.access_key, escape(item.name), escape(item.owner), usual_time(item.created_at))
    console().print(rows)
    if found.next_cursor:
        note("there are more: say --limit")


@app.command()
def rm(
    ctx: typer.Context,
    access_key: Annotated[str, typer.Argument(metavar="KEY", help="The access key.")],
    as_json: AsJson = False,
) -> None:
    """Let a key pair be worth nothing any more.

    Example: `shunter keys rm SHK0193E7A4C2D87B1E9F5A`
    """
    with session_of(ctx).client() as client:
        client.identity.delete_key(access_key)
    if as_json:
        emit({"access_key": access_key})
    else:
        typer.echo(f"{access_key} is worth nothing any more")
