"""What is said about deliveries inside the scheduler: a sink of the outbox has them sent."""

from __future__ import annotations

from contracts.model import Model

__all__ = ["HOOKS_SINK", "AboutLine", "hurry", "listen", "start_line"]

HOOKS_SINK = "hooks"
"""The sink of the outbox for what is to be delivered."""


class AboutLine(Model):
    """Names a line of deliveries, and whose it is."""

    line: str
    owner: str = ""


def start_line(line: str, owner: str) -> tuple[str, str, AboutLine]:
    """Return the row that has a line delivered, if it is not being delivered already."""
    return HOOKS_SINK, f"line/{line}", AboutLine(line=line, owner=owner)


def hurry(line: str, owner: str) -> tuple[str, str, AboutLine]:
    """Return the row that does the same, and cuts a pause between two tries short."""
    return HOOKS_SINK, f"hurry/{line}", AboutLine(line=line, owner=owner)


def listen(target: str) -> tuple[str, str, AboutLine]:
    """Return the row that has the event log looked through, for now somebody wants to be told."""
    return HOOKS_SINK, f"listen/{target}", AboutLine(line=target)
