"""`token`: tokens to hand to robots and colleagues, with less power than one's own."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .outcomes import ShunterGroup
from .printing import console, emit, note, table, usual_time
from .session import AsJson, Session, session_of

if TYPE_CHECKING:
    from contracts.identity import TokenScopes

__all__ = ["app", "read_secret"]

app = typer.Typer(cls=ShunterGroup, no_args_is_help=True, help="Tokens with less power than one's own.")

ReadOnly = Annotated[bool, typer.Option("--read-only", help="Only GET and HEAD.")]
Jobs = Annotated[list[str] | None, typer.Option("--job", help="Only requests for this id (a job, batch or schedule).")]
Projects = Annotated[list[str] | None, typer.Option("--project", "-p", help="Only in the name of this project.")]
Paths = Annotated[list[str] | None, typer.Option("--path", help="Only this path; ends it with `/`, all below it.")]
MaxGpus = Annotated[int | None, typer.Option("--max-gpus", min=0, help="At most so many GPUs in one request.")]
Addresses = Annotated[list[str] | None, typer.Option("--address", help="Only from this address.")]


def read_secret(file: Path | None, session: Session) -> str:
    """Read a token: from a file, from what is piped in, else the one that we would show the server."""
    if file:
        return file.read_text().strip()
    if not sys.stdin.isatty() and (text := sys.stdin.read().strip()):
        return text
    from shunter.connection import Connection

    token = Connection.find(session.url, token_file=session.token_file).token
    if token is None:
        raise typer.BadParameter("there is no token: pipe it in, or set SHUNTER_TOKEN; it is never an argument")
    return token.get_secret_value()


@app.command()
def mint(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is for.")],
    lifetime: Annotated[str, typer.Option("--lifetime", help="How long it lives, e.g. `12h`.")] = "30d",
    read_only: ReadOnly = False,
    jobs: Jobs = None,
    projects: Projects = None,
    paths: Paths = None,
    max_gpus: MaxGpus = None,
    addresses: Addresses = None,
    roles: Annotated[list[str] | None, typer.Option("--role", help="A role on the site that it may use.")] = None,
    as_json: AsJson = False,
) -> None:
    """Mint a token; it is shown once, alone on stdout.

    Example: `shunter token mint nightly --project vision --max-gpus 2 --lifetime 30d > token`
    """
    from contracts.identity import TokenWish

    scopes = _scopes(
        read_only=read_only,
        jobs=jobs or [],
        projects=projects or [],
        paths=paths or [],
        max_gpus=max_gpus,
        addresses=addresses or [],
        roles=roles or [],
    )
    wish = TokenWish.model_validate({"name": name, "lifetime": lifetime, "scopes": scopes})
    with session_of(ctx).client() as client:
        minted = client.identity.mint_token(wish)
    if as_json:
        emit(minted)
        return
    note(f"{minted.id}, until {usual_time(minted.expires_at)}")
    typer.echo(minted.token)


def _scopes(**given: object) -> TokenScopes:
    from contracts.identity import TokenScopes

    return TokenScopes.model_validate(given)


@app.command()
def narrow(
    ctx: typer.Context,
    read_only: ReadOnly = False,
    jobs: Jobs = None,
    until: Annotated[str | None, typer.Option("--until", help="`+2h`, `18:00` or a date with a time.")] = None,
    max_gpus: MaxGpus = None,
    projects: Projects = None,
    paths: Paths = None,
    addresses: Addresses = None,
    public_key: Annotated[
        str | None, typer.Option("--public-key", help="The site's key; by default as `token keys` saw it last.")
    ] = None,
    token_file: Annotated[Path | None, typer.Option("--from", help="A file that holds the token.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a token weaker, without asking any server; it is read from stdin, `--from`, or `SHUNTER_TOKEN`.

    Example: `shunter token narrow --read-only --job job-0193… --until +2h < token`
    """
    from shunter.connection import Connection
    from shunter.narrowing import KeyBook, key_from
    from shunter.narrowing import narrow as make_narrower

    from .moments import read_moment

    session = session_of(ctx)
    end = datetime.fromisoformat(read_moment(until, datetime.now(UTC).astimezone())) if until else None
    scopes = _scopes(
        read_only=read_only,
        jobs=jobs or [],
        projects=projects or [],
        paths=paths or [],
        max_gpus=max_gpus,
        addresses=addresses or [],
    )
    keys = key_from(public_key) if public_key else KeyBook(session.cache).find(Connection.find(session.url).url)
    narrower = make_narrower(read_secret(token_file, session), keys, scopes, end)
    if as_json:
        emit({"token": narrower})
    else:
        typer.echo(narrower)


@app.command("list")
def list_(
    ctx: typer.Context,
    owner: Annotated[str | None, typer.Option(help="Somebody's, for admins.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="At most so many.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List tokens, newest first.

    Example: `shunter token list`
    """
    with session_of(ctx).client() as client:
        found = client.identity.list_tokens(owner=owner, limit=limit)
    if as_json:
        emit(found)
        return
    from rich.markup import escape

    rows = table("ID", "NAME", "OWNER", "UNTIL", "REVOKED")
    for item in found.items:
        ends, revoked = usual_time(item.expires_at), usual_time(item.revoked_at)
        rows.add_row(item.id, escape(item.name), escape(item.owner), ends, revoked)
    console().print(rows)
    if found.next_cursor:
        note("there are more: say --limit")


@app.command()
def revoke(
    ctx: typer.Context,
    token_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="From `token list`.")] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why.")] = "",
    token_file: Annotated[Path | None, typer.Option("--from", help="A file that holds the token.")] = None,
    as_json: AsJson = False,
) -> None:
    """Revoke a token and all that was made from it; or, piped in, its last narrowing and what was made from that.

    Example: `shunter token revoke tok-6ed2…`, or `shunter token revoke < token`
    """
    from pydantic import SecretStr

    from contracts.identity import RevocationWish

    session = session_of(ctx)
    with session.client() as client:
        if token_id:
            client.identity.revoke_token(token_id)
            found: object = {"id": token_id}
        else:
            shown = SecretStr(read_secret(token_file, session))
            found = client.identity.revoke_block(RevocationWish(token=shown, reason=reason))
    if as_json:
        emit(found)
    else:
        typer.echo("revoked")


@app.command()
def inspect(
    ctx: typer.Context,
    token_file: Annotated[Path | None, typer.Option("--from", help="A file that holds the token.")] = None,
    as_json: AsJson = False,
) -> None:
    """Look into a token that is piped in.

    Example: `shunter token inspect < token`
    """
    session = session_of(ctx)
    with session.client() as client:
        found = client.identity.inspect_token(read_secret(token_file, session))
    if as_json:
        emit(found)
        return
    typer.echo(f"{'valid' if found.valid else 'not valid: ' + found.reason}")
    typer.echo(f"owner   {found.owner or '-'}\nid      {found.id or '-'}\nuntil   {usual_time(found.expires_at)}")
    for number, block in enumerate(found.blocks):
        typer.echo(f"\nblock {number}{' (revoked)' if block.revoked else ''}  {block.revocation_id}\n{block.source}")


@app.command()
def keys(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Show the site's public keys, and remember them for `token narrow`.

    Example: `shunter token keys`
    """
    from shunter.narrowing import KeyBook

    session = session_of(ctx)
    with session.client() as client:
        found = client.identity.get_token_keys()
        KeyBook(session.cache).keep(client.connection.url, found)
    if as_json:
        emit(found)
        return
    for key in found.keys:
        typer.echo(f"{key.id}  {key.algorithm}/{key.public_key}")
