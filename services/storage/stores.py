"""The store that the settings name, and what it needs to be reached."""

from __future__ import annotations

from starlette.applications import Starlette

from services.chassis.health import HealthBook, health_app

from .folder.app import object_routes
from .folder.disk import Disk
from .folder.doors import Doors
from .folder.objects import FolderObjects
from .objects import Objects
from .objects_s3 import S3Objects
from .settings import StorageSettings

__all__ = ["make_objects", "storage_app"]


def make_objects(settings: StorageSettings) -> Objects:
    """Return the store."""
    section = settings.storage
    if section.objects.kind == "s3":
        return S3Objects(section.s3, section.bucket)
    root = section.objects.path or settings.data.absolute() / "objects"
    disk = Disk(root, int(section.objects.keep_free))
    disk.ensure()
    doors = Doors(settings.ticket_key, section.objects.public_url or _own_url(settings))
    return FolderObjects(disk, doors, calls=section.s3.calls, readers=section.s3.readers)


def storage_app(book: HealthBook, objects: Objects) -> Starlette:
    """Return health, readiness and metrics, and the objects themselves where the store is a folder of ours."""
    app = health_app(book)
    if isinstance(objects, FolderObjects):
        app.routes.extend(object_routes(objects))
    return app


def _own_url(settings: StorageSettings) -> str:
    server = settings.storage.health
    return f"{'https' if server.tls else 'http'}://{server.host}:{server.port}"
