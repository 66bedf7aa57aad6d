"""`mail`: show, on, off."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from .outcomes import ShunterGroup
from .printing import emit, note, usual_time
from .session import AsJson, session_of

if TYPE_CHECKING:
    from contracts.mail import MailStanding

__all__ = ["app"]

app = typer.Typer(
    cls=ShunterGroup,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Mail about your jobs: `show`, `on`, `off`. Jobs ask for it: `shunter submit --mail ended`.",
)


@app.command("show")
def show(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Show whether you get mail, and where.

    Example: `shunter mail show`
    """
    with session_of(ctx).client() as client:
        found = client.get_mail()
    _print(found, as_json=as_json)


@app.command("on")
def turn_on(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Get mail again, as your jobs say; takes back what a link in a mail to you did, too.

    Example: `shunter mail on`
    """
    _set(ctx, opted_out=False, as_json=as_json)


@app.command("off")
def turn_off(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Get no mail about jobs of yours, whatever they say, and have none sent to others.

    Example: `shunter mail off`
    """
    _set(ctx, opted_out=True, as_json=as_json)


def _set(ctx: typer.Context, *, opted_out: bool, as_json: bool) -> None:
    with session_of(ctx).client() as client:
        found = client.set_mail(opted_out=opted_out)
    if found is not None:
        _print(found, as_json=as_json)
    elif as_json:
        emit({"status": "pending"})
    else:
        note("The scheduler is away. The wish is kept and will be done when it is back.")


def _print(found: MailStanding, *, as_json: bool) -> None:
    if as_json:
        emit(found)
        return
    since = f" since {usual_time(found.changed_at)}" if found.changed_at else ""
    typer.echo(f"mail     {f'off{since}' if found.opted_out else 'on'}")
    typer.echo(f"address  {found.address or '-'}")
    if not found.sends:
        note("This site sends no mail.")
    elif found.address is None:
        note("No address of yours is known here: an admin writes it down with `shunter users set`.")
