"""Where the pilot says things. `contracts.subjects` computes the same; a test compares them."""

from __future__ import annotations

__all__ = ["COMPLETE", "DOWNLOAD", "NEXT", "UPLOAD", "control", "inbox", "log", "report"]

NEXT = "queries.scheduler.pilot.next"
DOWNLOAD = "queries.storage.run.download"
UPLOAD = "queries.storage.run.upload"
COMPLETE = "commands.storage.upload.complete.none"


def report(workload_id: str, attempt: int) -> str:
    """Return where an attempt is reported."""
    return f"runs.{workload_id}.{attempt}.report"


def log(workload_id: str, attempt: int, stream: str) -> str:
    """Return where the output of an attempt goes."""
    return f"logs.{workload_id}.{attempt}.{stream}"


def control(native: str) -> str:
    """Return where a pilot listens."""
    return f"control.pilots.{native}"


def inbox(native: str) -> str:
    """Return the beginning of the subjects at which it is answered."""
    return f"_INBOX.{native}"
