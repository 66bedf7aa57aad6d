"""Snapshots of JetStream streams, taken while everybody goes on publishing, and put back into an empty server."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from .servers import StartError

__all__ = ["Address", "StreamSnapshot", "connect", "drop_tasks", "put_back", "take"]

_CHUNK = 256 * 1024
_PATIENCE = 60.0
"""Seconds between two chunks."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a NATS server listens, and who we are there."""

    url: str
    user: str | None = None
    password: str | None = None


@dataclass(frozen=True, slots=True)
class StreamSnapshot:
    """A stream in a file: its configuration and state as the server said them, and its bytes as it sent them."""

    name: str
    config: dict[str, Any]
    state: dict[str, Any]
    path: Path


async def connect(address: Address) -> Client:
    """Connect, or say that nobody answers."""
    try:
        return await nats.connect(
            address.url,
            user=address.user,
            password=address.password,
            allow_reconnect=False,
            max_reconnect_attempts=1,
            connect_timeout=3,
        )
    except (OSError, nats.errors.Error) as error:
        raise StartError(f"NATS at {address.url} does not answer: {error}") from error


async def _ask(client: Client, subject: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = await client.request(subject, json.dumps(body).encode(), timeout=10)
    found: dict[str, Any] = json.loads(answer.data)
    if "error" in found:
        raise StartError(f"NATS refuses {subject}: {found['error'].get('description')}")
    return found


async def take(client: Client, folder: Path) -> list[StreamSnapshot]:
    """Write a snapshot of every stream, with its consumers, into *folder*; each is consistent in itself."""
    names = await _ask(client, "$JS.API.STREAM.NAMES", {})
    return [await _take_one(client, name, folder / f"{name}.snapshot") for name in names.get("streams") or []]


async def _take_one(client: Client, name: str, path: Path) -> StreamSnapshot:
    arrived: asyncio.Queue[Msg] = asyncio.Queue()

    async def arrive(message: Msg) -> None:
        arrived.put_nowait(message)

    inbox = client.new_inbox()
    subscription = await client.subscribe(inbox, cb=arrive)
    wish = {"deliver_subject": inbox, "no_consumers": False, "chunk_size": _CHUNK}
    found = await _ask(client, f"$JS.API.STREAM.SNAPSHOT.{name}", wish)
    with path.open("wb") as file:
        while (message := await asyncio.wait_for(arrived.get(), _PATIENCE)).data:
            file.write(message.data)
            if message.reply:
                await client.publish(message.reply, b"")
    await subscription.unsubscribe()
    return StreamSnapshot(name, found["config"], found["state"], path)


async def put_back(client: Client, snapshot: StreamSnapshot) -> None:
    """Make a stream from its snapshot; there must be none of that name."""
    wish = {"config": snapshot.config, "state": snapshot.state}
    started = await _ask(client, f"$JS.API.STREAM.RESTORE.{snapshot.name}", wish)
    with snapshot.path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            await client.request(started["deliver_subject"], chunk, timeout=_PATIENCE)
    ended = json.loads((await client.request(started["deliver_subject"], b"", timeout=_PATIENCE)).data)
    if "error" in ended:
        raise StartError(f"NATS could not restore {snapshot.name}: {ended['error'].get('description')}")


async def drop_tasks(client: Client, waiting: set[tuple[str, int]]) -> int:
    """Remove from TASKS all attempts but those that are *waiting* by the table; returns how many."""
    found = await _ask(client, "$JS.API.STREAM.INFO.TASKS", {"subjects_filter": ">"})
    dropped = 0
    for subject in found["state"].get("subjects") or {}:
        _, _, workload, attempt = subject.rsplit(".", 3)
        if (workload, int(attempt)) not in waiting:
            await _ask(client, "$JS.API.STREAM.PURGE.TASKS", {"filter": subject})
            dropped += 1
    return dropped
