"""The way to a dialect: one layer says at the very edge whose request it is, another takes it there."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import ASGIApp, Receive, Scope, Send

from services.gateway.scopes import BRINGS_FILE, VOICE, say_mount

from .dialect import Dialect

__all__ = ["Crossing", "Signpost"]

_DIALECT = "shunter.dialect"


class Signpost:
    """Stands before everything else, so that whatever refuses a request does it in the words of its dialect."""

    def __init__(self, app: ASGIApp, *, dialects: Mapping[str, Dialect]) -> None:
        """*dialects* by their mount: `/psik`, or nothing for one that has the whole port."""
        self._app = app
        self._dialects = dialects

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] in {"http", "websocket"} and (found := self._find(scope["path"])):
            mount, dialect = found
            say_mount(scope, mount)
            scope[_DIALECT] = dialect
            scope[VOICE] = dialect.say
            scope["root_path"] = scope.get("root_path", "") + mount
            method = scope.get("method", "")
            scope[BRINGS_FILE] = dialect.brings_file(method, scope["path"].removeprefix(mount))
        await self._app(scope, receive, send)

    def _find(self, path: str) -> tuple[str, Dialect] | None:
        for mount, dialect in self._dialects.items():
            if path == mount or path.startswith(f"{mount}/"):
                return mount, dialect
        return None


class Crossing:
    """Hands a request to its dialect, or goes on to our own API."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        dialect: Dialect | None = scope.get(_DIALECT)
        await (dialect.app if dialect else self._app)(scope, receive, send)
