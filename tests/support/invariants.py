"""Gathers what the laws look at, through the public API; for tests that want everything checked after something."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import httpx

from .laws import Evidence, broken, by_job

__all__ = ["Checked", "check_everything", "jobs_of", "read_events", "records_of"]


@dataclass(frozen=True, slots=True)
class Checked:
    """How much was looked at, so that a check that saw nothing is noticed."""

    events: int
    jobs: int


def read_events(admin: httpx.Client) -> list[dict[str, Any]]:
    """Return the whole event log."""
    found: list[dict[str, Any]] = []
    sequence: int | None = 1
    while sequence is not None:
        page = admin.get("/v1/events", params={"since_sequence": sequence, "limit": 1000}).raise_for_status().json()
        found += [item["event"] for item in page["items"]]
        sequence = page["next_sequence"] if page["items"] else None
    return found


def records_of(admin: httpx.Client, jobs: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the record of each job that exists."""
    answers = {job: admin.get(f"/v1/jobs/{job}") for job in jobs}
    return {job: answer.raise_for_status().json() for job, answer in answers.items() if answer.status_code != 404}


def jobs_of(client: httpx.Client) -> list[str]:
    """Return the ids of all jobs in a user's list, newest first."""
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        params = {"limit": "1000", **({"cursor": cursor} if cursor else {})}
        page = client.get("/v1/jobs", params=params).raise_for_status().json()
        found += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
    return found


def check_everything(admin: httpx.Client) -> Checked:
    """Check what the log, the records and the ledger can show; an AssertionError names what is broken."""
    events = read_events(admin)
    jobs = by_job(events)
    report = admin.post("/v1/audit/replay", timeout=60).raise_for_status().json()
    seen = Evidence(
        events=events,
        records=records_of(admin, jobs),
        replay_equal=report["equal"],
        differences=report["differences"],
    )
    found = broken(seen)
    assert not found, "\n".join(found)
    return Checked(len(events), len(jobs))
