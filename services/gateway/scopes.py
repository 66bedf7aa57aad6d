"""What a layer further out writes into the scope of a request for those further in."""

from __future__ import annotations

from collections.abc import Callable

from starlette.responses import Response
from starlette.types import Scope

from contracts.errors import ShunterError

__all__ = ["BRINGS_FILE", "VOICE", "Voice", "path_within", "say_mount"]

Voice = Callable[[ShunterError, Scope, int | None], Response]
"""Says an error in another form than a problem document; the status is given where it is not the error's own."""

VOICE = "shunter.voice"
"""The `Voice` of whoever serves a request, if it has one."""

BRINGS_FILE = "shunter.file"
"""True if whoever serves a request takes its body for the bytes of a file."""

_MOUNT = "shunter.mount"


def say_mount(scope: Scope, mount: str) -> None:
    """Note that everything below *mount* is served by somebody for themselves."""
    scope[_MOUNT] = mount


def path_within(scope: Scope) -> str:
    """Return the path as those see it who serve below a mount."""
    path: str = scope["path"]
    return path.removeprefix(scope.get(_MOUNT, ""))
