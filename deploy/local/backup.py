"""`shunter backup`: everything that must not be lost, in one file, while the stack runs.

The order makes the parts fit (decision 0013): whatever is taken later is newer, and each part can catch up with a newer
one: the ledger from the event log, workflows from the table, the event log from the outbox.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from .applications import APPLICATIONS
from .archive import ArchiveWriter, open_archive
from .bucket import Bucket
from .configuration import config_path
from .object_folder import add_object_folder, outside
from .servers import StartError
from .streams import Address, StreamSnapshot, connect, take

__all__ = ["FORMAT", "KEPT", "bucket_of", "make_backup", "nats_of", "read_settings"]

FORMAT = 1
"""Raised when an older release cannot read it."""

KEPT = ("secrets.json", "shunter.yaml", "demo.json", "gateway/keys.json", APPLICATIONS)
"""Files of the data folder that go along as they are."""

_FIRST = ("db/accounting.db",)
_LAST = ("temporal/temporal.db", "db/scheduler.db", "db/storage.db", "db/gateway.db")


def read_settings(data: Path) -> dict[str, Any]:
    """Return what the stack of *data* runs with."""
    if not config_path(data).exists():
        raise StartError(f"no stack ever ran on {data}")
    found: dict[str, Any] = yaml.safe_load(config_path(data).read_text())
    return found


def nats_of(settings: dict[str, Any]) -> Address:
    """Return where NATS listens."""
    found = settings["nats"]
    return Address(found["url"], found.get("user"), found.get("password"))


def bucket_of(settings: dict[str, Any], endpoint: str | None = None) -> Bucket:
    """Return the bucket of the files."""
    storage = settings["storage"]
    s3 = storage["s3"]
    return Bucket(
        endpoint=endpoint or s3["endpoint"],
        access_key=s3["access_key"],
        secret_key=s3["secret_key"],
        region=s3["region"],
        name=storage["bucket"],
    )


def make_backup(data: Path, target: Path) -> dict[str, Any]:
    """Write a backup of a running stack; returns what is in it."""
    settings = read_settings(data)
    if place := outside(data, settings):
        raise StartError(f"the objects lie in {place}, outside of {data}: this takes only what lies in there")
    begun = datetime.now(UTC)
    with tempfile.TemporaryDirectory(prefix=".backup-", dir=data) as scratch, open_archive(target) as archive:
        folder = Path(scratch)
        schemas = {name: _add_database(archive, data, name, folder) for name in _FIRST}
        streams = asyncio.run(_take_streams(nats_of(settings), folder))
        for snapshot in streams:
            archive.add(f"streams/{snapshot.name}.snapshot", snapshot.path)
        schemas |= {name: _add_database(archive, data, name, folder) for name in _LAST}
        _add_runner(archive, data / "runner", folder)
        objects = _add_objects(archive, bucket_of(settings), folder)
        of_folder = add_object_folder(archive, data, folder)
        for name in KEPT:
            if (data / name).exists():
                archive.add(name, data / name)
        facts = {
            "format": FORMAT,
            "release": version("shunter"),
            "begun_at": begun.isoformat(),
            "ended_at": datetime.now(UTC).isoformat(),
            "schemas": schemas,
            "streams": {item.name: {"config": item.config, "state": item.state} for item in streams},
            "objects": objects,
        }
        archive.finish(facts)
    return {
        "file": str(target),
        "bytes": target.stat().st_size,
        "objects": len(objects) + of_folder,
        "messages": sum(int(item.state["messages"]) for item in streams),
        "seconds": round((datetime.now(UTC) - begun).total_seconds(), 3),
    }


async def _take_streams(address: Address, folder: Path) -> list[StreamSnapshot]:
    client = await connect(address)
    try:
        return await take(client, folder)
    finally:
        await client.close()


def _add_database(archive: ArchiveWriter, data: Path, name: str, folder: Path) -> str | None:
    """Copy a database as of one moment, while others write to it; returns its schema, if that is ours."""
    if not (data / name).exists():
        return None
    copy = folder / Path(name).name
    with (
        closing(sqlite3.connect(f"file:{data / name}?mode=ro", uri=True, timeout=30)) as source,
        closing(sqlite3.connect(copy)) as target,
    ):
        # All pages in one step: a copy in steps begins again whenever somebody writes.
        source.backup(target)
        if target.execute("PRAGMA quick_check").fetchone() != ("ok",):
            raise StartError(f"the copy of {name} is damaged")
        schema = None if name.startswith("temporal") else target.execute("SELECT version_num FROM alembic_version")
        revision = str(schema.fetchone()[0]) if schema else None
    archive.add(name, copy)
    copy.unlink()
    return revision


def _add_runner(archive: ArchiveWriter, folder: Path, scratch: Path) -> None:
    """Add the runner's journal, by which it knows what it ran; what vanishes meanwhile was done with."""
    copy = scratch / "journal"
    for path in sorted(_journal(folder)):
        with suppress(FileNotFoundError):
            shutil.copyfile(path, copy, follow_symlinks=False)
            archive.add(f"runner/{path.relative_to(folder)}", copy)


def _journal(folder: Path) -> Iterator[Path]:
    """Give the files of the journal, and the working folders of those that ended and have outputs to bring home."""
    for attempt in folder.iterdir() if folder.is_dir() else ():
        if attempt.is_symlink() or not attempt.is_dir():
            continue
        exited = attempt / "exit"
        brings = not (attempt / "done").exists() and exited.exists() and exited.stat().st_size > 0
        for path in attempt.rglob("*"):
            inner = path.relative_to(attempt).parts[0]
            if (brings or inner not in {"work", "tmp"}) and not path.is_symlink() and path.is_file():
                yield path


def _add_objects(archive: ArchiveWriter, bucket: Bucket, folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for number, item in enumerate(bucket.objects()):
        staged = folder / "object"
        with bucket.read(item.key) as (source, content_type), staged.open("wb") as sink:
            while piece := source.read(2**20):
                sink.write(piece)
        if staged.stat().st_size != item.size:
            raise StartError(f"the store gave {staged.stat().st_size} of {item.size} bytes of {item.key}")
        member = f"objects/{number:08d}"
        archive.add(member, staged)
        found.append({"member": member, "key": item.key, "content_type": content_type})
    return found
