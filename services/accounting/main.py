"""The accounting service: `python -m services.accounting.main`."""

from __future__ import annotations

from services.chassis.service import Frame, open_frame

from .eventlog import EventLog
from .handlers import register
from .intake import Intake
from .lag import LagWatch
from .service import UsageService
from .settings import AccountingSettings
from .store import read_position
from .tables import METADATA

__all__ = ["assemble", "main", "run"]


async def main(settings: AccountingSettings) -> None:
    """Serve until told to stop."""
    async with (
        open_frame("accounting", settings, database_url=settings.database_url, metadata=METADATA) as frame,
        LagWatch(await assemble(frame)) as watch,
    ):
        frame.health.add("lag", watch.check)
        await frame.serve(settings.accounting.health)


async def assemble(frame: Frame) -> EventLog:
    """Put the service together on its frame; it begins to work when the frame's bus starts."""
    events = EventLog(frame.bus.jetstream)
    await _begin_where_the_ledger_ends(frame, events)
    usage = UsageService(unit=frame.unit, events=events, scratch=frame.settings.data / "tmp")
    register(frame.bus, intake=Intake(unit=frame.unit), usage=usage)
    return events


async def _begin_where_the_ledger_ends(frame: Frame, events: EventLog) -> None:
    """Have the whole log told again if the database was lost or restored: then NATS believes that it knows more."""
    async with frame.unit.reading() as connection:
        position = await read_position(connection)
    if position < await events.taken():
        await events.begin_again()


def run() -> None:
    """Start the process."""
    import uvloop

    uvloop.run(main(AccountingSettings()))


if __name__ == "__main__":
    run()
