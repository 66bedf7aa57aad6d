"""What a job in Ray's list means: where it stands, why it waits, how it ended."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import urlsplit

from contracts.states import Reason
from services.scheduler.backends.engines.base import NativeState, Seen

from .answers import RayJob

__all__ = ["has_ended", "see"]

_STATES = {"PENDING": NativeState.WAITING, "RUNNING": NativeState.RUNNING}
_WORDS = 300
"""Characters of Ray's message that are kept, at its beginning and at its end, where the last words of the job are."""
_DETAIL = re.compile(r"^\s+[a-z_]+: ")
"""A line with what Ray calls the process; nobody needs it."""
_ENDINGS: dict[str, Reason] = {
    "RUNTIME_ENV_SETUP_FAILURE": Reason.REFUSED,
    # It waited longer than RAY_JOB_START_TIMEOUT_SECONDS of the head; nothing of it has run.
    "JOB_SUPERVISOR_ACTOR_START_TIMEOUT": Reason.INTERRUPTED,
}
"""By type of error; any other one means that whatever ran the job is gone."""
_MEMORY = "low on memory"
"""Ray says nowhere else that it killed the job's process because its node ran out of memory."""
_SIGNALLED = 128


def has_ended(job: RayJob) -> bool:
    """Say whether it has; a state that we do not know is not the end."""
    return job.status in {"SUCCEEDED", "STOPPED", "FAILED"}


def see(job: RayJob, name: str, waits_for: Callable[[str], str | None]) -> Seen:
    """Say how a job stands; somebody else knows why it waits."""
    if not has_ended(job):
        state = _STATES.get(job.status, NativeState.RUNNING)
        reason = waits_for(name) or job.message or "" if state is NativeState.WAITING else ""
        return Seen(name, name, state, reason=reason, node=_node(job))
    return Seen(
        name,
        name,
        NativeState.ENDED,
        reason=_told(job),
        ending=_ending(job),
        exit_code=_exit_code(job),
        node=_node(job),
    )


def _told(job: RayJob) -> str:
    lines = (job.message or job.status).splitlines()
    told = " ".join(" ".join(line.split()) for line in lines if not _DETAIL.match(line)).strip()
    return told if len(told) <= 2 * _WORDS else f"{told[:_WORDS]} … {told[-_WORDS:]}"


def _node(job: RayJob) -> str:
    """Return the address of the node that ran it, which is all that the job itself says."""
    return urlsplit(job.driver_agent_http_address or "").hostname or ""


def _ending(job: RayJob) -> Reason | None:
    if job.status == "STOPPED":
        return Reason.CANCELED
    if job.status == "SUCCEEDED" or job.driver_exit_code is not None:
        return None
    if _MEMORY in (job.message or ""):
        return Reason.MEMORY
    found = _ENDINGS.get(job.error_type or "", Reason.LOST)
    # An environment that the job did not ask for is the cluster's fault.
    return Reason.LOST if found is Reason.REFUSED and not set(job.runtime_env or {}) - {"env_vars"} else found


def _exit_code(job: RayJob) -> int | None:
    code = job.driver_exit_code
    if job.status == "SUCCEEDED":
        return code or 0
    return _SIGNALLED - code if code is not None and code < 0 else code
