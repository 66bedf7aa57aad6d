"""The storage service: `python -m services.storage.main`."""

from __future__ import annotations

import structlog

from contracts.errors import UnavailableError
from contracts.runs import RunTicket
from services.chassis.service import Frame, open_frame
from services.chassis.tickets import Tickets

from .adoption import Adoption
from .contents import ContentService
from .forms import FormService
from .handlers import register, register_forms
from .objects import Objects
from .runs import RunService
from .service import FileService
from .settings import StorageSettings
from .sharing import SharingService
from .stores import make_objects, storage_app
from .sweep import Sweeper
from .tables import METADATA
from .uploads import UploadService, UploadTicket

__all__ = ["assemble", "main", "run"]

log = structlog.get_logger(__name__)


async def main(settings: StorageSettings) -> None:
    """Serve until told to stop."""
    section = settings.storage
    tickets = (Tickets(settings.ticket_key, UploadTicket), Tickets(settings.ticket_key, RunTicket))
    async with open_frame("storage", settings, database_url=settings.database_url, metadata=METADATA) as frame:
        objects = make_objects(settings)
        try:
            sweeper = await assemble(frame, settings, objects, *tickets)
            async with sweeper.running(section.sweep_every):
                await frame.serve(section.health, storage_app(frame.health, objects))
        finally:
            objects.close()


async def assemble(
    frame: Frame,
    settings: StorageSettings,
    objects: Objects,
    upload_tickets: Tickets[UploadTicket],
    run_tickets: Tickets[RunTicket],
) -> Sweeper:
    """Put the service together on its frame; it begins to work when the frame serves."""
    section = settings.storage
    files = FileService(unit=frame.unit, objects=objects)
    uploads = UploadService(unit=frame.unit, objects=objects, tickets=upload_tickets, part_size=section.part_size)
    runs = RunService(objects=objects, uploads=uploads, tickets=run_tickets, part_size=section.part_size)
    sharing = SharingService(unit=frame.unit)
    contents = ContentService(unit=frame.unit, objects=objects)
    forms = FormService(unit=frame.unit, objects=objects, adoption=Adoption(unit=frame.unit, objects=objects))
    register(frame.bus, files=files, forms=forms, uploads=uploads, runs=runs, sharing=sharing)
    register_forms(frame.bus, forms=forms, contents=contents)
    frame.health.add(section.objects.kind, objects.check)
    try:
        await objects.check()
    except UnavailableError as error:
        # The health check tells of it, and makes the bucket as soon as the store answers.
        log.warning("storage.store_away", detail=error.detail)
    return Sweeper(
        unit=frame.unit,
        objects=objects,
        retention=section.retention,
        abandoned_after=section.abandoned_after,
        forms=forms,
    )


def run() -> None:
    """Start the process."""
    import uvloop

    uvloop.run(main(StorageSettings()))


if __name__ == "__main__":
    run()
