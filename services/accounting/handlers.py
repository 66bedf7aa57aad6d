"""What accounting hears: the events that tell of room taken and given back, and questions about usage."""

from __future__ import annotations

from contracts.queries import ReplayLog, SumUsage
from contracts.usage import ReplayReport, UsageSummary
from services.chassis.bus import Bus, Delivery
from services.chassis.errors import translated

from .eventlog import DURABLE
from .intake import AT_ONCE, Intake
from .moves import STREAM, SUBJECTS
from .service import UsageService

__all__ = ["register"]


def register(bus: Bus, *, intake: Intake, usage: UsageService) -> None:
    """Have *bus* hand events to *intake* and questions to *usage*."""

    async def take_event(raw: bytes, delivery: Delivery) -> None:
        with translated("the database"):
            await intake.take(raw, delivery)

    async def sum_usage(query: SumUsage) -> UsageSummary:
        with translated("the database"):
            return await usage.sum(query)

    async def replay_log(query: ReplayLog) -> ReplayReport:
        with translated("the database"):
            return await usage.replay(query.principal)

    bus.follow(STREAM, SUBJECTS, DURABLE, take_event, workers=AT_ONCE)
    bus.answer_queries({SumUsage: sum_usage, ReplayLog: replay_log})
