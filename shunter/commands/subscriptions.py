"""`subscriptions`: ls, add, rm, pause, resume, test."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .outcomes import ExitCode, ShunterGroup, leave
from .printing import console, emit, note, table, usual_time
from .selection import find_by_name
from .session import AsJson, session_of
from .wishes import given

if TYPE_CHECKING:
    from contracts.subscriptions import Delivery, Subscription
    from shunter.client import Client

__all__ = ["app", "read_secret"]

app = typer.Typer(
    cls=ShunterGroup,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Events that are sent to a URL: `ls`, `add`, `rm`, `pause`, `resume`, `test`.",
)

_LOOKS = 60
"""Looks, half a second apart, whether a ping has arrived."""

_Subscription = Annotated[str, typer.Argument(metavar="SUBSCRIPTION", help="An id, or the name if only one has it.")]
_Text = str | None
_Words = list[str] | None


def read_secret(file: Path | None) -> str | None:
    """Return what a file holds, without the line's end; on a command line everybody would see it."""
    from contracts.errors import InvalidError

    if file is None:
        return None
    try:
        secret = file.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidError(f"{file} cannot be read: {type(error).__name__}") from error
    if not secret:
        raise InvalidError(f"{file} is empty")
    return secret


@app.command("ls")
def list_(
    ctx: typer.Context,
    name: Annotated[_Text, typer.Option("--name", "-n", help="Only this name.")] = None,
    owner: Annotated[_Text, typer.Option(help="Only this owner's.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="At most so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List subscriptions, newest first.

    Example: `shunter subscriptions ls`
    """
    with session_of(ctx).client() as client:
        found = client.list_subscriptions(name=name, owner=owner, limit=limit).items
    if as_json:
        emit(found)
        return
    from rich.markup import escape

    rows = table("ID", "NAME", "STATE", "SIGNED", "CHANGED", "URL")
    for one in found:
        state = f"{one.state.value}{f' ({one.reason})' if one.reason else ''}"
        facts = (state, "yes" if one.signed else "no", usual_time(one.updated_at), escape(one.spec.url))
        rows.add_row(one.id, escape(one.spec.name or "-"), *facts)
    console().print(rows)


@app.command("add")
def add(
    ctx: typer.Context,
    url: Annotated[str, typer.Argument(help="Where to send; the site must allow its host.")],
    name: Annotated[_Text, typer.Option("--name", "-n", help="A name to find it by.")] = None,
    secret_file: Annotated[
        Path | None, typer.Option("--secret-file", help="A file with the secret that bodies are signed with.")
    ] = None,
    types: Annotated[_Words, typer.Option("--type", help="The beginning of a type: `workload.moved`.")] = None,
    states: Annotated[_Words, typer.Option("--state", help="Only moves of jobs into this state.")] = None,
    job: Annotated[_Text, typer.Option("--job", help="Only about this job, by its id.")] = None,
    job_name: Annotated[_Text, typer.Option("--job-name", help="Only about jobs of this name.")] = None,
    project: Annotated[_Text, typer.Option("--project", "-p", help="Only of this project.")] = None,
    labels: Annotated[_Words, typer.Option("--label", "-l", help="`name=value`, of jobs.")] = None,
    visible: Annotated[bool, typer.Option("--visible", help="Also what you may see but do not own.")] = False,
    key: Annotated[_Text, typer.Option("--idempotency-key", help="The same key twice makes one.")] = None,
    as_json: AsJson = False,
) -> None:
    """Have events sent to a URL, from now on.

    Example: `shunter subscriptions add https://hooks.example.org/shunter --state failed --secret-file secret`
    """
    from contracts.documents import checked
    from contracts.subscriptions import SubscriptionSpec

    from .specs import pairs

    wish: dict[str, Any] = given(
        name=name,
        secret=read_secret(secret_file),
        types=types,
        states=states,
        job=job,
        job_name=job_name,
        project=project,
        labels=pairs(labels or [], "labels"),
        of="visible" if visible else None,
    )
    spec = checked(SubscriptionSpec, {"url": url, **wish}, "the subscription", None)
    with session_of(ctx).client() as client:
        made = client.create_subscription(spec, key=key)
    if made is None:
        note("The scheduler is away. The subscription is kept and will be there when it is back.")
    elif as_json:
        emit(made)
    else:
        typer.echo(f"{made.id} {made.state}")


@app.command("rm")
def remove(ctx: typer.Context, subscription: _Subscription, as_json: AsJson = False) -> None:
    """Send nothing more, ever; what waits is dropped.

    Example: `shunter subscriptions rm ci-bot`
    """
    with session_of(ctx).client() as client:
        subscription_id = _find(client, subscription)
        done = client.delete_subscription(subscription_id)
    if as_json:
        emit({"id": subscription_id, "status": "deleted" if done else "pending"})
    else:
        typer.echo(f"{subscription_id} {'is gone' if done else 'will be removed'}")


@app.command("pause")
def pause(ctx: typer.Context, subscription: _Subscription, as_json: AsJson = False) -> None:
    """Send nothing for now; events of the pause are not made up for.

    Example: `shunter subscriptions pause ci-bot`
    """
    with session_of(ctx).client() as client:
        subscription_id = _find(client, subscription)
        _tell(subscription_id, client.pause_subscription(subscription_id), as_json=as_json)


@app.command("resume")
def resume(ctx: typer.Context, subscription: _Subscription, as_json: AsJson = False) -> None:
    """Go on sending.

    Example: `shunter subscriptions resume ci-bot`
    """
    with session_of(ctx).client() as client:
        subscription_id = _find(client, subscription)
        _tell(subscription_id, client.resume_subscription(subscription_id), as_json=as_json)


@app.command("test")
def send_test(ctx: typer.Context, subscription: _Subscription, as_json: AsJson = False) -> None:
    """Send a ping and wait a while for what becomes of it; exit 1 if it did not arrive.

    Example: `shunter subscriptions test ci-bot`
    """
    from contracts.subscriptions import DeliveryState

    session = session_of(ctx)
    with session.client() as client:
        subscription_id = _find(client, subscription)
        ping = client.test_subscription(subscription_id)
        for _ in range(_LOOKS):
            if ping is None or ping.attempts or ping.state is not DeliveryState.WAITING:
                break
            session.sleep(0.5)
            ping = client.get_delivery(ping.id)
    if as_json:
        emit(ping or {"id": subscription_id, "status": "pending"})
    else:
        typer.echo(_outcome(ping))
    if ping is not None and ping.state is not DeliveryState.DELIVERED:
        raise leave(ExitCode.FAILED)


def _outcome(ping: Delivery | None) -> str:
    if ping is None:
        return "kept"
    return f"{ping.id} {ping.state.value}{f': {ping.error}' if ping.error else ''}"


def _find(client: Client, wanted: str) -> str:
    """Return the identifier: itself, or that of the one subscription of this name."""
    return find_by_name(wanted, "sub", "subscription", lambda: client.list_subscriptions(name=wanted, limit=5).items)


def _tell(subscription_id: str, found: Subscription | None, *, as_json: bool) -> None:
    if as_json:
        emit(found or {"id": subscription_id, "status": "pending"})
    else:
        typer.echo(f"{subscription_id} {found.state if found else 'kept'}")
