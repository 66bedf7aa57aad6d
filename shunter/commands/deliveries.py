"""`deliveries`: ls, redeliver."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .outcomes import ShunterGroup
from .printing import console, emit, note, table, usual_time
from .session import AsJson, session_of

if TYPE_CHECKING:
    from contracts.subscriptions import DeliveryState

__all__ = ["app"]

app = typer.Typer(
    cls=ShunterGroup,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Events on their way to callbacks and subscriptions: `ls`, `redeliver`.",
)

_Text = str | None


@app.command("ls")
def list_(
    ctx: typer.Context,
    states: Annotated[
        list[str] | None, typer.Option("--state", help="waiting, delivered, dead or dropped; may be repeated.")
    ] = None,
    subscription: Annotated[_Text, typer.Option("--subscription", help="Only of this one, by its id.")] = None,
    job: Annotated[_Text, typer.Option("--job", help="Only about this job, by its id.")] = None,
    owner: Annotated[_Text, typer.Option(help="Only this owner's.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="At most so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List deliveries, newest first.

    Example: `shunter deliveries ls --state dead`
    """
    with session_of(ctx).client() as client:
        page = client.list_deliveries(_states(states), subscription=subscription, job=job, owner=owner, limit=limit)
    if as_json:
        emit(page.items)
        return
    from rich.markup import escape

    rows = table("ID", "STATE", "TRIES", "STATUS", "NEXT", "ABOUT", "EVENT", "URL", "ERROR", right=("TRIES",))
    for one in page.items:
        facts = (one.state.value, str(one.attempts), str(one.status or "-"), usual_time(one.next_at))
        kind = one.event_type.removeprefix("org.shunter.")
        rows.add_row(one.id, *facts, one.workload_id or "-", kind, escape(one.url), escape(one.error))
    console().print(rows)
    if page.next_cursor:
        note("there are more: say --limit, or narrow it")


def _states(words: list[str] | None) -> list[DeliveryState]:
    from contracts.errors import InvalidError
    from contracts.subscriptions import DeliveryState

    try:
        return [DeliveryState(word) for word in words or ()]
    except ValueError as error:
        known = ", ".join(state.value for state in DeliveryState)
        raise InvalidError.of("state", f"must be one of {known}") from error


@app.command("redeliver")
def redeliver(
    ctx: typer.Context,
    deliveries: Annotated[list[str], typer.Argument(metavar="ID...", help="Dead letters, from `deliveries ls`.")],
    as_json: AsJson = False,
) -> None:
    """Send dead letters again, under the same event ids.

    Example: `shunter deliveries redeliver dlv-0193e7a4c2d87b1e9f5a3c6d8e0f1a2b`
    """
    with session_of(ctx).client() as client:
        found = {one: client.redeliver(one) for one in deliveries}
    if as_json:
        emit([done or {"id": name, "status": "pending"} for name, done in found.items()])
        return
    for name, done in found.items():
        typer.echo(f"{name} {done.state if done else 'kept'}")
