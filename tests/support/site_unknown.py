"""What every service of a small site answers: that it is well, and that it does not know the rest."""

from __future__ import annotations

from contracts.command import Command
from contracts.commands import (
    COMMANDS,
)
from contracts.errors import NotFoundError
from contracts.grants import GrantPage
from contracts.queries import (
    QUERIES,
    CheckHealth,
    Health,
    Query,
)
from services.chassis.answers import Written
from services.chassis.bus import CommandHandler, Delivery, QueryHandler

__all__ = ["shares_nothing", "unknown_commands", "unknown_queries", "well"]


async def _has_none(_query: Query) -> None:
    raise NotFoundError("this site knows jobs only")


def unknown_queries(service: str) -> dict[type[Query], QueryHandler]:
    return {kind: _has_none for kind in QUERIES if kind.service == service}


def unknown_commands(service: str) -> dict[type[Command], CommandHandler]:
    return {kind: _does_none for kind in COMMANDS if kind.service == service}


async def _does_none(_command: Command, _delivery: Delivery) -> Written:
    raise NotFoundError("this site knows jobs only")


async def shares_nothing(_query: Query) -> GrantPage:
    return GrantPage(items=[])


def well(service: str) -> QueryHandler:
    async def answer(_query: CheckHealth) -> Health:
        return Health(service=service, ready=True, checks={"nats": "ok"})

    return answer
