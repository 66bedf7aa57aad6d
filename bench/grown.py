"""A stack with a long past: finished jobs by the thousand, copied from one that really ran."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from typing import Any

import nats
import orjson
import yaml

from contracts.envelope import Envelope
from contracts.ids import message_id, workload_id
from contracts.subjects import event_subject
from tests.support.stack import Stack

__all__ = ["grow"]

_AT_ONCE = 256
_WITHIN = 300.0


def grow(stack: Stack, job: str, count: int) -> None:
    """Add *count* copies of the finished *job*: its rows, and its events, which accounting takes as they come."""
    ids = [workload_id() for _ in range(count)]
    _copy_rows(stack, job, ids)
    asyncio.run(_copy_events(stack, job, ids))
    _wait_for_accounting(stack)


def _copy_rows(stack: Stack, job: str, ids: list[str]) -> None:
    with sqlite3.connect(stack.data / "db" / "scheduler.db", timeout=30) as database:
        for table, key in (("workloads", "id"), ("transitions", "workload_id")):
            columns = [found[1] for found in database.execute(f"PRAGMA table_info({table})") if found[1] != "seq"]
            names = ", ".join(f'"{name}"' for name in columns)
            rows = database.execute(f"SELECT {names} FROM {table} WHERE {key} = ?", (job,)).fetchall()
            place = columns.index(key)
            marks = ", ".join("?" * len(columns))
            copies = [(*row[:place], new, *row[place + 1 :]) for new in ids for row in rows]
            if "number" in columns:
                copies = _numbered(database, copies, columns.index("number"))
            database.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", copies)


def _numbered(database: sqlite3.Connection, copies: list[tuple[Any, ...]], place: int) -> list[tuple[Any, ...]]:
    """Give copies numbers that no real job will get."""
    (lowest,) = database.execute("SELECT min(0, min(number)) FROM workloads").fetchone()
    return [(*row[:place], lowest - count, *row[place + 1 :]) for count, row in enumerate(copies, 1)]


async def _copy_events(stack: Stack, job: str, ids: list[str]) -> None:
    answer = stack.client("admin").get("/v1/events", params={"job": job, "limit": 100}).raise_for_status()
    models: list[dict[str, Any]] = [item["event"] for item in answer.json()["items"]]
    settings = yaml.safe_load((stack.data / "shunter.yaml").read_text())["nats"]
    client = await nats.connect(settings["url"], user=settings["user"], password=settings["password"])
    stream = client.jetstream()
    gate = asyncio.Semaphore(_AT_ONCE)

    async def say(model: dict[str, Any], new: str) -> None:
        envelope = Envelope.model_validate_json(orjson.dumps(model).replace(job.encode(), new.encode()), extra="ignore")
        envelope = envelope.model_copy(update={"id": message_id()})
        fact = envelope.data.get("new") or envelope.type.split(".")[3]
        async with gate:
            headers = {"Nats-Msg-Id": envelope.id}
            await stream.publish(event_subject("workload", str(fact), new), envelope.to_bytes(), headers=headers)

    try:
        # In the order in which they would come, job after job.
        for start in range(0, len(ids), _AT_ONCE):
            for model in models:
                await asyncio.gather(*(say(model, new) for new in ids[start : start + _AT_ONCE]))
    finally:
        await client.close()


def _wait_for_accounting(stack: Stack) -> None:
    client, until = stack.client("admin"), time.monotonic() + _WITHIN
    last = -1
    while time.monotonic() < until:
        now = int(client.get("/v1/usage").raise_for_status().json()["sequence"])
        if now == last and now > 0:
            return
        last = now
        time.sleep(1.0)
    raise SystemExit("accounting did not catch up")
