"""`projects`: projects that were made on the site, and who is in them."""

from __future__ import annotations

from typing import Annotated

import typer

from .outcomes import ShunterGroup
from .printing import console, emit, note, table, usual_time
from .session import AsJson, session_of
from .users import Most, Subject

__all__ = ["app"]

app = typer.Typer(cls=ShunterGroup, no_args_is_help=True, help="Projects and who is in them.")

Project = Annotated[str, typer.Argument(metavar="PROJECT", help="Its name.")]


@app.command("list")
def list_(ctx: typer.Context, limit: Most = 100, as_json: AsJson = False) -> None:
    """List projects, by name.

    Example: `shunter projects list`
    """
    with session_of(ctx).client() as client:
        found = client.identity.list_projects(limit=limit)
    if as_json:
        emit(found)
        return
    from rich.markup import escape

    rows = table("PROJECT", "TITLE", "MEMBERS", "CHANGED", right=("MEMBERS",))
    for item in found.items:
        rows.add_row(escape(item.name), escape(item.title or "-"), str(item.members), usual_time(item.changed_at))
    console().print(rows)
    if found.next_cursor:
        note("there are more: say --limit")


@app.command("set")
def set_(
    ctx: typer.Context,
    project: Project,
    title: Annotated[str, typer.Option("--title", help="What it is about.")] = "",
    as_json: AsJson = False,
) -> None:
    """Make a project, or give it another title. For admins of the site.

    Example: `shunter projects set vision --title "Computer vision"`
    """
    from contracts.identity import ProjectWish

    with session_of(ctx).client() as client:
        found = client.identity.put_project(project, ProjectWish(title=title))
    if as_json:
        emit(found)
    else:
        typer.echo(f"{found.name}: {found.title or 'no title'}, {found.members} members")


@app.command()
def rm(ctx: typer.Context, project: Project, as_json: AsJson = False) -> None:
    """Forget a project and who was in it; what was billed to it stays billed.

    Example: `shunter projects rm vision`
    """
    with session_of(ctx).client() as client:
        client.identity.delete_project(project)
    if as_json:
        emit({"name": project})
    else:
        typer.echo(f"{project} is gone")


@app.command()
def members(ctx: typer.Context, project: Project, limit: Most = 100, as_json: AsJson = False) -> None:
    """List who is in a project.

    Example: `shunter projects members vision`
    """
    with session_of(ctx).client() as client:
        found = client.identity.list_members(project, limit=limit)
    if as_json:
        emit(found)
        return
    from rich.markup import escape

    rows = table("USER", "LEVEL", "SINCE")
    for item in found.items:
        rows.add_row(escape(item.subject), item.level.value, usual_time(item.at))
    console().print(rows)
    if found.next_cursor:
        note("there are more: say --limit")


@app.command()
def add(
    ctx: typer.Context,
    project: Project,
    user: Subject,
    admin: Annotated[bool, typer.Option("--admin", help="As an admin of the project.")] = False,
    as_json: AsJson = False,
) -> None:
    """Let somebody be in a project. For admins of the project and of the site.

    Example: `shunter projects add vision ada --admin`
    """
    from contracts.principals import Level

    with session_of(ctx).client() as client:
        found = client.identity.set_member(project, user, Level.ADMIN if admin else Level.MEMBER)
    if as_json:
        emit(found)
    else:
        typer.echo(f"{found.subject} is {found.level.value} of {found.project}")


@app.command()
def remove(ctx: typer.Context, project: Project, user: Subject, as_json: AsJson = False) -> None:
    """Take somebody out of a project.

    Example: `shunter projects remove vision ada`
    """
    with session_of(ctx).client() as client:
        client.identity.end_membership(project, user)
    if as_json:
        emit({"project": project, "subject": user})
    else:
        typer.echo(f"{user} is in {project} no more")
