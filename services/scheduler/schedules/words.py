"""What is said about schedules inside the scheduler: the sink of the outbox that tells Temporal of them."""

from __future__ import annotations

from contracts.model import Model

__all__ = ["SCHEDULES_SINK", "About", "ended", "fire_message", "mirror"]

SCHEDULES_SINK = "schedules"
"""The sink of the outbox for what Temporal must know of schedules."""


class About(Model):
    """Names what a row of the outbox is about; what is to be said is read from the tables when it is said."""

    id: str


def mirror(schedule_id: str) -> tuple[str, str, About]:
    """Return the row that makes Temporal's schedule like ours."""
    return SCHEDULES_SINK, f"mirror/{schedule_id}", About(id=schedule_id)


def ended(job_id: str) -> tuple[str, str, About]:
    """Return the row that tells the run of a schedule that its job has ended."""
    return SCHEDULES_SINK, f"ended/{job_id}", About(id=job_id)


def fire_message(job_id: str) -> str:
    """Return the name under which the inbox knows that the run of a schedule submitted its job."""
    return f"fire-{job_id}"
