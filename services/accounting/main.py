"""The accounting service: `python -m services.accounting.main`."""

from __future__ import annotations

from contracts.envelope import Context
from services.chassis.collector import spare_collector
from services.chassis.service import Frame, open_frame

from .eventlog import EventLog
from .handlers import register
from .intake import Intake
from .lag import LagWatch
from .ledger import forget_places
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
    frame.bus.on_return.append(lambda: _know_the_log(frame, events))
    usage = UsageService(unit=frame.unit, events=events, scratch=frame.settings.data / "tmp")
    register(frame.bus, intake=Intake(unit=frame.unit), usage=usage)
    return events


async def _begin_where_the_ledger_ends(frame: Frame, events: EventLog) -> None:
    """Have the whole log told again if the database was lost or restored: then NATS believes that it knows more."""
    position = await _know_the_log(frame, events)
    if position < await events.taken():
        await events.begin_again()


async def _know_the_log(frame: Frame, events: EventLog) -> int:
    """Return the ledger's place in the log; 0 if the log lost its store: it is told again, under new numbers."""
    async with frame.unit.reading() as connection:
        position = await read_position(connection)
    _, last = await events.bounds()
    if position <= last:
        return position
    async with frame.unit.begin(Context.start("service:accounting")) as work:
        await forget_places(work.connection)
    return 0


def run() -> None:
    """Start the process."""
    import uvloop

    spare_collector()
    uvloop.run(main(AccountingSettings()))


if __name__ == "__main__":
    run()
