"""`shunter restore`: a data folder from a backup. The stack that starts on it makes its parts agree by itself."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from . import servers
from .archive import extract
from .backup import FORMAT, bucket_of, read_settings
from .configuration import Secrets, write_private
from .object_folder import put_object_folder_back
from .ports import PortPlan, suggest
from .servers import StartError
from .streams import Address, StreamSnapshot, connect, drop_tasks, put_back

__all__ = ["queued_attempts", "restore_backup"]

_QUEUED_JOBS = "SELECT id, attempt FROM workloads WHERE state = 'queued' AND tasks IS NULL"
_QUEUED_BUNDLES = """
SELECT workload_id, bundle FROM bundles WHERE sent AND NOT ended AND allocation IS NULL AND NOT EXISTS (
    SELECT 1 FROM tasks
    WHERE tasks.workload_id = bundles.workload_id AND tasks.bundle = bundles.bundle AND tasks.state <> 'queued'
)
"""
"""Nothing of them has begun. What was not sent yet is sent by the scheduler."""

_FROM = 12_000
"""Where ports for the servers are looked for that read the backup in."""


def restore_backup(file: Path, data: Path) -> dict[str, Any]:
    """Make *data*, which must be empty or missing, from a backup; returns what was done."""
    if not file.is_file():
        raise StartError(f"{file} is no file")
    if data.exists() and (not data.is_dir() or any(data.iterdir())):
        raise StartError(f"{data} is not empty; name a new folder")
    begun = datetime.now(UTC)
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    manifest = extract(file, data)
    try:
        done = _read_in(data, manifest)
    except BaseException:
        shutil.rmtree(data, ignore_errors=True)
        raise
    facts = {
        "restored_at": datetime.now(UTC).isoformat(),
        "taken_at": manifest["begun_at"],
        "release": manifest["release"],
    }
    write_private(data / "restored.json", json.dumps(facts, indent=2) + "\n")
    seconds = round((datetime.now(UTC) - begun).total_seconds(), 3)
    return {"data": str(data), **facts, **done, "seconds": seconds}


def _read_in(data: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    if manifest["format"] > FORMAT:
        raise StartError(f"the backup was made by release {manifest['release']}, which is newer: use that one")
    plan = _ports()
    dropped = asyncio.run(_read_streams(data, manifest, plan))
    asyncio.run(_read_objects(data, manifest, plan))
    for name in ("streams", "objects"):
        shutil.rmtree(data / name, ignore_errors=True)
    objects = len(manifest["objects"]) + put_object_folder_back(data)
    _orphan_runs(data / "runner")
    return {"streams": len(manifest["streams"]), "objects": objects, "stale_tasks": dropped}


def _ports() -> PortPlan:
    base = suggest(_FROM)
    if base is None:
        raise StartError("no sixteen ports in a row are free")
    return PortPlan(base)


@asynccontextmanager
async def _running(spec: servers.ServerSpec, data: Path) -> AsyncIterator[None]:
    process = await servers.start(spec, data / "logs" / f"restore-{spec.name}.log")
    try:
        yield
    finally:
        await servers.stop(spec, process)


async def _read_streams(data: Path, manifest: dict[str, Any], plan: PortPlan) -> int:
    spec = servers.nats_server(data / "nats", port=plan["nats"], monitor_port=plan["nats monitor"])
    async with _running(spec, data):
        client = await connect(Address(f"nats://127.0.0.1:{plan['nats']}"))
        try:
            for name, known in manifest["streams"].items():
                path = data / "streams" / f"{name}.snapshot"
                await put_back(client, StreamSnapshot(name, known["config"], known["state"], path))
            # The streams are a moment older than the table: a task may lie there that was run already.
            return await drop_tasks(client, queued_attempts(data)) if "TASKS" in manifest["streams"] else 0
        finally:
            await client.close()


def queued_attempts(data: Path) -> set[tuple[str, int]]:
    """Return the attempts, and bundles of arrays, that the table has in a queue."""
    path = data / "db" / "scheduler.db"
    if not path.exists():
        return set()
    with closing(sqlite3.connect(path)) as connection:
        rows = [
            row for statement in (_QUEUED_JOBS, _QUEUED_BUNDLES) for row in connection.execute(statement).fetchall()
        ]
    return {(str(name), int(attempt)) for name, attempt in rows}


async def _read_objects(data: Path, manifest: dict[str, Any], plan: PortPlan) -> None:
    kept = Secrets(data)
    spec = servers.s3_server(
        data / "s3",
        port=plan["s3"],
        access_key=kept.get("s3_access_key", 15),
        secret_key=kept.get("s3_secret_key"),
        spare=plan.s3_inner,
    )
    async with _running(spec, data):
        bucket = bucket_of(read_settings(data), f"127.0.0.1:{plan['s3']}")
        await asyncio.to_thread(_write_objects, bucket, data, manifest["objects"])


def _orphan_runs(folder: Path) -> None:
    """Give each run its folders, and take its process from it: by number it may be a stranger's by now."""
    folder.mkdir(mode=0o700, exist_ok=True)
    for run in folder.iterdir():
        for name in ("work", "tmp"):
            (run / name).mkdir(mode=0o700, exist_ok=True)
        start = run / "start.json"
        if start.exists():
            first, _, rest = start.read_text().partition("\n")
            start.write_text(json.dumps({**json.loads(first), "boot": "before the restore"}) + f"\n{rest}")


def _write_objects(bucket: Any, data: Path, objects: list[dict[str, Any]]) -> None:
    bucket.make()
    for item in objects:
        path = data / item["member"]
        with path.open("rb") as source:
            bucket.write(item["key"], source, path.stat().st_size, item["content_type"])
