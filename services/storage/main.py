"""The storage service: `python -m services.storage.main`."""

from __future__ import annotations

import structlog

from contracts.errors import UnavailableError
from contracts.runs import RunTicket
from services.chassis.collector import spare_collector
from services.chassis.service import Frame, open_frame
from services.chassis.tickets import Tickets

from .adoption import Adoption
from .contents import ContentService
from .forms import FormService
from .freezing import Freezer
from .handlers import Parts, register
from .names import NameService
from .objects import Objects
from .removals import Removals
from .rules import Quotas
from .ruling import RuleService
from .runs import RunService
from .service import FileService
from .settings import StorageSettings
from .sharing import SharingService
from .stores import make_objects, storage_app
from .sweep import Sweeper
from .tables import METADATA
from .uploads import UploadService, UploadTicket
from .versions import VersionService

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
    areas = section.area_folders
    files = FileService(unit=frame.unit, objects=objects, areas=areas)
    quotas = Quotas(section.quota)
    names = NameService(unit=frame.unit, quotas=quotas, areas=areas)
    rules = RuleService(unit=frame.unit, quotas=quotas, kept=section.shown)
    versions = VersionService(unit=frame.unit, quotas=quotas, kept=section.shown)
    uploads = UploadService(
        unit=frame.unit, objects=objects, tickets=upload_tickets, part_size=section.part_size, quotas=quotas
    )
    runs = RunService(objects=objects, uploads=uploads, tickets=run_tickets, part_size=section.part_size)
    sharing = SharingService(unit=frame.unit)
    adoption = Adoption(unit=frame.unit, objects=objects, quotas=quotas)
    forms = FormService(unit=frame.unit, objects=objects, adoption=adoption, quotas=quotas)
    parts = Parts(
        files=files,
        contents=ContentService(unit=frame.unit, objects=objects, areas=areas),
        forms=forms,
        freezer=Freezer(frame.unit),
        names=names,
        rules=rules,
        versions=versions,
        uploads=uploads,
        runs=runs,
        sharing=sharing,
        removals=Removals(frame.unit),
    )
    register(frame.bus, parts)
    frame.health.add(section.objects.kind, objects.check)
    try:
        await objects.check()
    except UnavailableError as error:
        # The health check tells of it, and makes the bucket as soon as the store answers.
        log.warning("storage.store_away", detail=error.detail)
    return Sweeper(
        unit=frame.unit,
        objects=objects,
        kept=section.kept,
        abandoned_after=section.abandoned_after,
        expire=section.expire,
        forms=forms,
    )


def run() -> None:
    """Start the process."""
    import uvloop

    spare_collector()
    uvloop.run(main(StorageSettings()))


if __name__ == "__main__":
    run()
