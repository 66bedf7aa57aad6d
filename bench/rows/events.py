"""From an event's own time to a follower's hand, by server-sent events."""

from __future__ import annotations

import json
import threading
import time
from datetime import datetime

from bench.ground import Ground
from bench.load import percentile
from bench.table import Figure, Row
from tests.support.stack import Stack

__all__ = ["ROW"]


def _measure(ground: Ground) -> list[Figure]:
    stack, jobs = ground.stack, ground.size(60, 5)
    delays: list[float] = []
    listening = threading.Event()
    ended = 0

    def follow() -> None:
        nonlocal ended
        with stack.client("owner").stream(
            "GET", "/v1/events", params={"follow": True, "type": "workload"}, timeout=60
        ) as answer:
            listening.set()
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    event = json.loads(line[6:])
                    delays.append(time.time() - datetime.fromisoformat(event["time"]).timestamp())
                    ended += event["data"].get("new") == "succeeded"
                if ended >= jobs:
                    return

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    listening.wait(10)
    _submit(stack, jobs)
    thread.join(60)
    p99, p50 = percentile(delays, 0.99) * 1000, percentile(delays, 0.5) * 1000
    ROW.notes.append(f"{len(delays)} events of {ended} jobs, p50 {p50:.1f} ms")
    return [Figure("p99", f"{p99:.1f} ms", "", p99, 100, "ms", small_is_good=True)]


def _submit(stack: Stack, jobs: int) -> None:
    client = stack.client("owner")
    for _ in range(jobs):
        job = client.post("/v1/jobs", json={"argv": ["true"]}).raise_for_status().json()["id"]
        client.get(f"/v1/jobs/{job}", params={"wait": 30}).raise_for_status()


ROW = Row("events", "event → SSE follower", _measure)
