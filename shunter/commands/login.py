"""`login` and `logout`: sign in with an account that the site knows from elsewhere."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from .printing import emit, note
from .session import AsJson, Session, session_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from shunter.calls.login import LoginMethod
    from shunter.connection import Connection
    from shunter.login.issuer import DeviceCode
    from shunter.login.saved import LoginBook, SavedLogin

__all__ = ["login", "logout"]

_Issuer = Annotated[
    str | None, typer.Option("--issuer", help="Whom to sign in with, by name or URL, where the site offers several.")
]


def login(ctx: typer.Context, issuer: _Issuer = None, as_json: AsJson = False) -> None:
    """Sign in: an address and a code are shown; open it anywhere, and confirm.

    Example: `shunter login`, then `shunter whoami`. What is got is kept for this server, and renewed by itself.
    """
    session = session_of(ctx)
    connection = session.connection()
    method = _choose(_methods(session, connection), issuer)
    with _elsewhere(session) as http:
        saved = _sign_in(session, http, method)
    book = _book()
    with book.locked():
        book.put(connection.url, saved)
    if connection.token:
        note("A token is given too (SHUNTER_TOKEN or --token-file): it goes before what was kept now.")
    with session.client() as client:
        found = client.who_am_i()
    if as_json:
        emit({"subject": found.subject, "issuer": found.issuer, "projects": found.projects})
    else:
        typer.echo(f"signed in as {found.subject}")


def logout(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Forget the sign-in for this server, here and at the issuer.

    Example: `shunter logout`
    """
    session = session_of(ctx)
    connection, book = session.connection(), _book()
    with book.locked():
        saved = book.get(connection.url)
        book.put(connection.url, None)
    revoked = saved is not None and _revoke(session, saved)
    if as_json:
        emit({"signed_out": saved is not None, "revoked": revoked})
    elif saved is None:
        note(f"you were not signed in to {connection.url}")
    else:
        typer.echo("signed out" if revoked else "signed out here; the issuer was not told")


def _book() -> LoginBook:
    from shunter.connection import default_logins
    from shunter.login.saved import LoginBook

    return LoginBook(default_logins())


def _methods(session: Session, connection: Connection) -> list[LoginMethod]:
    """Ask the server, without showing it anything."""
    import httpx

    from shunter.calls.login import list_login_methods
    from shunter.problems import connecting
    from shunter.wire import wire

    call = list_login_methods()
    bare = replace(connection, token=None, logins=None)
    with httpx.Client(**wire(bare, session.transport)) as http, connecting(connection.url):
        return call.read(http.send(call.to_request(http))).methods


def _choose(methods: list[LoginMethod], wanted: str | None) -> LoginMethod:
    from contracts.errors import InvalidError

    offered = [one for one in methods if one.kind == "oidc" and one.client_id and one.issuer]
    names = ", ".join(one.name for one in offered)
    if not offered:
        raise InvalidError("this server offers no sign-in; show a token: SHUNTER_TOKEN, or `--token-file`")
    fitting = [one for one in offered if wanted in {None, one.name, one.issuer}]
    if not fitting:
        raise InvalidError(f"there is no issuer {wanted!r}; there are: {names}")
    if len(fitting) > 1:
        raise InvalidError(f"there are several issuers; say which one: --issuer {' | '.join(names.split(', '))}")
    return fitting[0]


def _sign_in(session: Session, http: httpx.Client, method: LoginMethod) -> SavedLogin:
    from shunter.login.issuer import Issuer

    assert method.issuer
    assert method.client_id
    issuer = Issuer(method.issuer, http, sleep=session.sleep)
    document = issuer.discover()
    asked = {"client_id": method.client_id, "scope": method.scope or "openid"}
    asked |= {name: value for name in ("resource", "audience") if (value := getattr(method, name))}
    code = issuer.begin(document, asked)
    _show(code)
    return issuer.wait(issuer.start(document, method.client_id, method.resource), code)


def _show(code: DeviceCode) -> None:
    """Tell the user what to do; on stderr, so that scripts can read the rest."""
    note(f"Open this address, on any device:\n\n    {code.complete_url or code.url}\n")
    note(f"and confirm the code {code.user_code} (within {code.expires_in / 60:.0f} minutes).")


def _revoke(session: Session, saved: SavedLogin) -> bool:
    from contracts.errors import ShunterError
    from shunter.login.issuer import Issuer

    try:
        with _elsewhere(session) as http:
            return Issuer(saved.issuer, http).revoke(saved)
    except ShunterError:
        return False


@contextmanager
def _elsewhere(session: Session) -> Iterator[httpx.Client]:
    """Connect to whoever is not the server."""
    import httpx

    with httpx.Client(transport=session.transport) as http:
        yield http
