"""`submit --app`: which application is meant, and what it is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from contracts.errors import InvalidError

from .specs import pairs

__all__ = ["Called", "call_of"]

_PARTS = 3

Called = tuple[dict[str, Any], list[str], list[str]]
"""The application's part of a spec, and the inputs and outputs that are not its arguments."""


def call_of(app: str, inputs: Sequence[str], outputs: Sequence[str], env: Sequence[str]) -> Called:
    """Read `APP/VERSION/ENTRYPOINT` and what belongs to it."""
    names = app.split("/")
    if len(names) != _PARTS or not all(names):
        raise InvalidError.of("app", f"{app!r} is not of the form APP/VERSION/ENTRYPOINT; `shunter apps` lists them")
    call: dict[str, Any] = dict(zip(("application", "version", "entrypoint"), names, strict=True))
    given: dict[str, list[str]] = {}
    for value in inputs:
        argument, equals, folder = value.partition("=")
        if equals:
            given.setdefault(argument, []).append(folder)
    if given:
        call["inputs"] = given
    if named := [value for value in outputs if "=" in value]:
        call["outputs"] = pairs(named, "output")
    if env:
        call["env"] = pairs(env, "env")
    return call, _plain(inputs), _plain(outputs)


def _plain(values: Sequence[str]) -> list[str]:
    return [value for value in values if "=" not in value]
