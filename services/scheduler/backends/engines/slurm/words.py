"""What Slurm's errors mean; its commands have no other way to say it than words."""

from __future__ import annotations

import re

from contracts.errors import RefusedError, ShunterError, UnavailableError

__all__ = ["is_away", "refusal"]

_LATER = re.compile(
    r"Unable to contact slurm controller|slurm controller not responding|temporarily unable|timed out"
    r"|Connection (refused|reset)|connection failure|Zero Bytes were transmitted|standby|backup controller"
    r"|Protocol authentication error|Unable to establish|Resource temporarily unavailable|I/O error writing"
    r"|MaxSubmit|fetch_config|configuration source|No route to host|Slurm database|command not found|not found$",
    re.IGNORECASE,
)
"""The cluster is away or full; everything else that it says is about the job."""

_FRAMES = re.compile(r"^(sbatch|scancel|squeue|slurmstepd)?:? ?(error|fatal|warning)?:? ?", re.IGNORECASE)


def is_away(text: str) -> bool:
    """Say whether an error is about the cluster and not about what was asked."""
    return not text.strip() or bool(_LATER.search(text))


def refusal(text: str, otherwise: str) -> ShunterError:
    """Return the error that Slurm's words are, or *otherwise* where it said nothing."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = "; ".join(dict.fromkeys(_FRAMES.sub("", line) for line in lines))[:1000]
    if is_away(text):
        return UnavailableError(f"Slurm: {said or otherwise}", retry_after=5.0)
    return RefusedError(f"Slurm: {said}")
