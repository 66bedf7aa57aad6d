"""What must hold after anything at all has happened to the stack; read through the public API only."""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import httpx

from contracts.states import TERMINAL, WorkloadState, may_move
from tests.support.array_invariants import check_arrays

__all__ = ["Checked", "check_everything", "read_events"]

_DOMAIN = "org.shunter.workload."


@dataclass(frozen=True, slots=True)
class Checked:
    """How much was looked at, so that a check that saw nothing is noticed."""

    events: int
    jobs: int
    tasks: int = 0
    """Of arrays."""


def read_events(admin: httpx.Client) -> list[dict[str, Any]]:
    """Return the whole event log."""
    found: list[dict[str, Any]] = []
    sequence: int | None = 1
    while sequence is not None:
        page = admin.get("/v1/events", params={"since_sequence": sequence, "limit": 1000}).raise_for_status().json()
        found += [item["event"] for item in page["items"]]
        sequence = page["next_sequence"] if page["items"] else None
    return found


def check_everything(admin: httpx.Client) -> Checked:
    """Check every invariant that the log and the records can show; an AssertionError names what is broken."""
    events = read_events(admin)
    ids = [event["id"] for event in events]
    assert len(set(ids)) == len(ids), "an event is in the log twice"
    jobs = _by_job(events)
    for job, told in jobs.items():
        _check_job(admin, job, told)
    tasks = check_arrays(admin, events)
    report = admin.post("/v1/audit/replay", timeout=60).raise_for_status().json()
    assert report["equal"], report["differences"]
    return Checked(len(events), len(jobs), tasks)


def _by_job(events: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    jobs: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        if event["type"].startswith((f"{_DOMAIN}accepted.", f"{_DOMAIN}moved.")):
            jobs[event["data"]["workload_id"]].append(event["data"])
    return jobs


def _check_job(admin: httpx.Client, job: str, told: list[dict[str, Any]]) -> None:
    told.sort(key=lambda data: data["revision"])
    revisions = [data["revision"] for data in told]
    assert revisions == list(range(1, len(told) + 1)), f"{job}: gaps or doubles in {revisions}"
    states = [WorkloadState.ACCEPTED] + [WorkloadState(data["new"]) for data in told[1:]]
    for old, new in itertools.pairwise(states):
        assert may_move(old, new), f"{job}: {old} to {new}"
    assert sum(state in TERMINAL for state in states) <= 1, f"{job}: more than one end in {states}"
    _check_room(job, told)
    record = admin.get(f"/v1/jobs/{job}").raise_for_status().json()
    assert (record["state"], record["revision"]) == (states[-1], revisions[-1]), f"{job}: the record is not the log"
    if len(told) > 1:
        folded = {name: told[-1][name] for name in ("attempt", "reason", "message", "backend", "exit_code")}
        assert folded == {name: record[name] for name in folded}, f"{job}: the record is not the log"


def _check_room(job: str, told: list[dict[str, Any]]) -> None:
    opened = [data["attempt"] for data in told if data.get("allocation")]
    closed = [data["attempt"] for data in told if data.get("usage")]
    assert len(set(opened)) == len(opened), f"{job}: an attempt took room twice"
    assert len(set(closed)) == len(closed), f"{job}: an attempt gave room back twice"
    if told[-1].get("new") in {state.value for state in TERMINAL}:
        assert opened == closed, f"{job}: took room in {opened}, gave it back in {closed}"
