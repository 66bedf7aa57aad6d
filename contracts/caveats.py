"""What narrows a token, as Datalog: the same for whoever mints one and for whoever hands a narrower one on."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from .identity import TokenScopes

__all__ = ["Datalog", "caveats_of"]

Datalog = tuple[str, dict[str, object]]
"""A text with places in braces, and what stands in them: nothing from outside becomes part of the text."""


def caveats_of(scopes: TokenScopes, until: datetime | None = None) -> Datalog:
    """Return the checks that a request must pass; `roles` are no check, they are given or not."""
    found = _Checks()
    if scopes.read_only:
        found.any_of("operation", ("GET", "HEAD"))
    found.any_of("resource", scopes.jobs)
    found.any_of("project", scopes.projects)
    found.paths(scopes.paths)
    if scopes.max_gpus is not None:
        found.add(f"gpus($n), $n <= {found.place(scopes.max_gpus)}")
    found.any_of("address", scopes.addresses)
    if until is not None:
        found.add(f"time($time), $time < {found.place(until)}")
    return "\n".join(found.lines), found.values


class _Checks:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.values: dict[str, object] = {}

    def place(self, value: object) -> str:
        """Return the place in which a value stands."""
        name = f"v{len(self.values)}"
        self.values[name] = value
        return f"{{{name}}}"

    def add(self, *choices: str) -> None:
        """Add a check of which one choice must hold."""
        self.lines.append(f"check if {' or '.join(choices)};")

    def any_of(self, fact: str, values: Iterable[str]) -> None:
        """Add a check for one of several values, if there are any."""
        choices = [f"{fact}({self.place(value)})" for value in values]
        if choices:
            self.add(*choices)

    def paths(self, values: Iterable[str]) -> None:
        """Do the same for paths and what lies below them."""
        choices = []
        for value in values:
            place = self.place(value)
            choices.append(f"path($p), $p.starts_with({place})" if value.endswith("/") else f"path({place})")
        if choices:
            self.add(*choices)
