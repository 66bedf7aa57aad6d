"""`users`: whom the site knows, and who is shut out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .outcomes import ShunterGroup
from .printing import console, emit, note, table, usual_time
from .session import AsJson, session_of

if TYPE_CHECKING:
    from contracts.identity import User

__all__ = ["app"]

app = typer.Typer(cls=ShunterGroup, no_args_is_help=True, help="Users, for admins of the site.")

Subject = Annotated[str, typer.Argument(metavar="USER", help="The user's identifier.")]
Most = Annotated[int, typer.Option("--limit", min=1, max=1000, help="At most so many.")]


@app.command("list")
def list_(ctx: typer.Context, limit: Most = 100, as_json: AsJson = False) -> None:
    """List users, by their identifier.

    Example: `shunter users list`
    """
    with session_of(ctx).client() as client:
        found = client.identity.list_users(limit=limit)
    if as_json:
        emit(found)
        return
    from rich.markup import escape

    rows = table("USER", "NAME", "ROLES", "PROJECTS", "DISABLED")
    for item in found.items:
        roles, projects = ", ".join(sorted(item.roles)) or "-", ", ".join(item.projects) or "-"
        name, disabled = escape(item.display_name or "-"), "yes" if item.disabled else "-"
        rows.add_row(escape(item.subject), name, roles, escape(projects), disabled)
    console().print(rows)
    if found.next_cursor:
        note("there are more: say --limit")


@app.command()
def show(ctx: typer.Context, user: Subject, as_json: AsJson = False) -> None:
    """Show what the site has written down of a user.

    Example: `shunter users show ada`
    """
    with session_of(ctx).client() as client:
        _tell(client.identity.get_user(user), as_json=as_json)


@app.command("set")
def set_(
    ctx: typer.Context,
    user: Subject,
    name: Annotated[str | None, typer.Option("--name", help="How they are called.")] = None,
    email: Annotated[str | None, typer.Option("--email", help="Where they are reached.")] = None,
    roles: Annotated[list[str] | None, typer.Option("--role", help="`admin` or `auditor` of the site.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write down what is to be known of a user; what is not said is taken away.

    Example: `shunter users set ada --name "Ada Lovelace" --role auditor`
    """
    from contracts.identity import UserWish

    wish = UserWish.model_validate({"display_name": name, "email": email, "roles": roles or []})
    with session_of(ctx).client() as client:
        _tell(client.identity.put_user(user, wish), as_json=as_json)


@app.command()
def disable(
    ctx: typer.Context,
    user: Subject,
    reason: Annotated[str, typer.Option("--reason", help="Why.")] = "",
    as_json: AsJson = False,
) -> None:
    """Shut a user out, at once and whatever they show.

    Example: `shunter users disable ada --reason "left the lab"`
    """
    with session_of(ctx).client() as client:
        _tell(client.identity.disable_user(user, reason), as_json=as_json)


@app.command()
def enable(ctx: typer.Context, user: Subject, as_json: AsJson = False) -> None:
    """Let a user in again.

    Example: `shunter users enable ada`
    """
    with session_of(ctx).client() as client:
        _tell(client.identity.enable_user(user), as_json=as_json)


@app.command()
def password(
    ctx: typer.Context,
    user: Subject,
    own: Annotated[bool, typer.Option("--own", help="It is one's own: the present one is asked for too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Give a user another password; it is asked for at the terminal, or read line by line from stdin.

    Example: `shunter users password ada`
    """
    from contracts.identity import PasswordWish

    current = typer.prompt("present password", hide_input=True, err=True) if own else None
    new = typer.prompt("new password", hide_input=True, confirmation_prompt=True, err=True)
    wish = PasswordWish.model_validate({"password": new, "current": current})
    with session_of(ctx).client() as client:
        _tell(client.identity.set_password(user, wish), as_json=as_json)


def _tell(user: User, *, as_json: bool) -> None:
    if as_json:
        emit(user)
        return
    said = {
        "user": user.subject,
        "name": user.display_name or "-",
        "email": user.email or "-",
        "roles": ", ".join(sorted(user.roles)) or "-",
        "projects": ", ".join(f"{name} ({level.value})" for name, level in user.projects.items()) or "-",
        "password": "yes" if user.has_password else "no",
        "disabled": f"yes: {user.disabled_reason or 'no reason was given'}" if user.disabled else "no",
        "changed": usual_time(user.changed_at),
    }
    for what, value in said.items():
        typer.echo(f"{what:10} {value}")
