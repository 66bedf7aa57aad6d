"""What must hold of arrays after anything at all has happened; read through the public API only."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import httpx

from contracts.ranges import Ranges
from contracts.states import TERMINAL

__all__ = ["all_tasks", "check_arrays"]

_TASKS = "org.shunter.workload.tasksmoved.v1"
_ENDED = {"succeeded", "failed", "canceled", "lost"}
_MOVES = {
    "pending": {"queued", "canceled"},
    "queued": {"running", "pending", *_ENDED},
    "running": {"pending", *_ENDED},
}


def all_tasks(client: httpx.Client, job: str, **params: Any) -> list[dict[str, Any]]:
    """Return the tasks of an array, page by page."""
    found: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        wanted = {"limit": 1000, **params, **({"cursor": cursor} if cursor else {})}
        page = client.get(f"/v1/jobs/{job}/tasks", params=wanted).raise_for_status().json()
        found += page["items"]
        cursor = page["next_cursor"]
    return found


def check_arrays(admin: httpx.Client, events: list[dict[str, Any]]) -> int:
    """Fold the facts of every array and hold the outcome against its record; return how many tasks were looked at."""
    batches: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        if event["type"] == _TASKS:
            batches[event["data"]["workload_id"]].append(event["data"])
    return sum(_check_array(admin, job, told) for job, told in batches.items())


def _check_array(admin: httpx.Client, job: str, told: list[dict[str, Any]]) -> int:
    told.sort(key=lambda data: data["batch"])
    assert [data["batch"] for data in told] == list(range(1, len(told) + 1)), f"{job}: gaps or doubles in its batches"
    states: dict[int, str] = defaultdict(lambda: "pending")
    billed: set[tuple[int, int]] = set()
    total: int = told[0]["counts"]["total"]
    for data in told:
        _fold(job, states, billed, data)
        counts = Counter(states.values())
        counts["pending"] += total - len(states)
        shown = {name: data["counts"][name] for name in ("queued", "running", "pending", *_ENDED)}
        assert shown == {name: counts[name] for name in shown}, f"{job}: batch {data['batch']} miscounts"
    record = admin.get(f"/v1/jobs/{job}").raise_for_status().json()
    assert record["tasks"] == told[-1]["counts"], f"{job}: the record is not the log"
    tasks = all_tasks(admin, job)
    assert len(tasks) == total, f"{job}: {len(tasks)} of {total} tasks are listed"
    assert {task["index"]: task["state"] for task in tasks if task["index"] in states} == states, job
    if record["state"] in {state.value for state in TERMINAL}:
        assert set(states.values()) <= _ENDED, f"{job}: it has ended before its tasks"
        assert len(states) == total, f"{job}: tasks were forgotten"
    return total


def _fold(job: str, states: dict[int, str], billed: set[tuple[int, int]], data: dict[str, Any]) -> None:
    for group in data["groups"]:
        for index in Ranges.parse(group["indices"]):
            _move(job, states, index, group["state"])
    for fact in data["tasks"]:
        _move(job, states, fact["index"], "pending" if fact["again"] else fact["state"])
        if fact["usage"]:
            key = (fact["index"], fact["attempt"])
            assert key not in billed, f"{job}: attempt {key} gave its room back twice"
            billed.add(key)


def _move(job: str, states: dict[int, str], index: int, new: str) -> None:
    assert new in _MOVES.get(states[index], set()), f"{job}: task {index} went from {states[index]} to {new}"
    states[index] = new
