"""Calls about jobs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import httpx

from contracts.explanations import Explanation
from contracts.files import DownloadUrl
from contracts.ids import message_id
from contracts.queries import History
from contracts.spec import JobSpec
from contracts.states import WorkloadState
from shunter.models import JobPage, JobView, OutputList, Submission

from .call import Call, params_of, path_of, reads

__all__ = [
    "JobFilter",
    "cancel_job",
    "explain_job",
    "get_history",
    "get_job",
    "get_log",
    "hold_job",
    "list_jobs",
    "list_outputs",
    "output_url",
    "release_job",
    "remove_job",
    "retry_job",
    "start_job",
    "submit_job",
]

_JOBS = "v1/jobs"


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs are meant; what is not given does not matter."""

    states: tuple[WorkloadState, ...] = ()
    owner: str | None = None
    project: str | None = None
    backend: str | None = None
    name: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    created_after: datetime | None = None
    batch: str | None = None
    schedule: str | None = None
    number: int | None = None
    shared: bool | None = None
    """Only those that others share, or only the others."""


def submit_job(spec: JobSpec, *, key: str | None = None, wait: float | None = None) -> Call[Submission]:
    """Submit; the key makes a second sending harmless, so one is made up where none is given."""
    headers = {"Idempotency-Key": key or message_id()}
    if wait is not None:
        headers["Prefer"] = f"wait={math.ceil(wait)}"
    body = spec.model_dump_json(exclude_unset=True).encode()
    return Call("POST", path_of(_JOBS), _read_submission, headers=headers, body=body, hold=wait or 5.0)


def _read_submission(response: httpx.Response) -> Submission:
    if response.status_code == 202:
        return Submission(id=str(response.json()["id"]))
    job = reads(JobView)(response)
    return Submission(id=job.id, job=job, repeated=response.status_code == 200)


def list_jobs(wanted: JobFilter, *, limit: int = 50, cursor: str | None = None) -> Call[JobPage]:
    """List a page of jobs, newest first."""
    params = params_of(
        state=[state.value for state in wanted.states],
        owner=wanted.owner,
        project=wanted.project,
        backend=wanted.backend,
        name=wanted.name,
        label=_labels(wanted.labels),
        created_after=wanted.created_after.isoformat() if wanted.created_after else None,
        batch=wanted.batch,
        schedule=wanted.schedule,
        number=wanted.number,
        shared=wanted.shared,
        limit=limit,
        cursor=cursor,
    )
    return Call("GET", path_of(_JOBS), reads(JobPage), params)


def _labels(labels: Mapping[str, str]) -> Iterable[str]:
    return [f"{name}={value}" for name, value in labels.items()]


def get_job(job_id: str, *, wait: float | None = None, until: str | None = None) -> Call[JobView]:
    """Get one job; with *wait* the answer comes when it has ended (or changed), at the latest after these seconds."""
    params = params_of(wait=f"{wait:g}" if wait else None, until=until)
    return Call("GET", path_of(_JOBS, job_id), reads(JobView), params, hold=wait or 0.0)


def get_history(job_id: str) -> Call[History]:
    """Get all moves of a job."""
    return Call("GET", path_of(_JOBS, job_id, "history"), reads(History))


def explain_job(job_id: str) -> Call[Explanation]:
    """Ask why a job is where it is."""
    return Call("GET", path_of(_JOBS, job_id, "explain"), reads(Explanation))


def hold_job(job_id: str) -> Call[JobView | None]:
    """Keep a job that waits from starting; none means that the command is kept until the scheduler is back."""
    return _order(job_id, "hold", repeatable=True)


def release_job(job_id: str) -> Call[JobView | None]:
    """Let a held job go; none means that the command is kept until the scheduler is back."""
    return _order(job_id, "release", repeatable=False)


def start_job(job_id: str) -> Call[JobView | None]:
    """Let a held job go; none means that the command is kept until the scheduler is back."""
    return _order(job_id, "start", repeatable=False)


def cancel_job(job_id: str, *, tasks: str | None = None) -> Call[JobView | None]:
    """End a job, or some tasks of an array; none means that the command is kept until the scheduler is back."""
    return _order(job_id, "cancel", repeatable=tasks is None, body=_json({"tasks": tasks}) if tasks else None)


def remove_job(job_id: str) -> Call[bool]:
    """Have a job gone, with what it left behind; false means that the command is kept until the scheduler is back."""
    return Call("DELETE", path_of(_JOBS, job_id), lambda response: response.status_code == 204, hold=5.0)


def retry_job(job_id: str, *, tasks: Literal["all", "failed"] = "all", key: str | None = None) -> Call[Submission]:
    """Run an ended job again, as a new one; of an array all tasks, or those that failed."""
    headers = {"Idempotency-Key": key or message_id()}
    body = None if tasks == "all" else _json({"tasks": tasks})
    return Call("POST", path_of(_JOBS, job_id, "retry"), _read_submission, headers=headers, body=body, hold=5.0)


def _json(wish: dict[str, str]) -> bytes:
    return json.dumps(wish).encode()


def _order(job_id: str, verb: str, *, repeatable: bool, body: bytes | None = None) -> Call[JobView | None]:
    path = path_of(_JOBS, job_id, verb)
    return Call("POST", path, _read_job_or_pending, body=body, repeatable=repeatable, hold=5.0)


def _read_job_or_pending(response: httpx.Response) -> JobView | None:
    return None if response.json().get("status") == "pending" else reads(JobView)(response)


def get_log(job_id: str, *, stream: str | None = None, attempt: int | None = None) -> Call[bytes]:
    """Get what a job has printed so far."""
    params = params_of(stream=stream, attempt=attempt)
    return Call("GET", path_of(_JOBS, job_id, "logs"), lambda response: response.content, params, hold=270.0)


def list_outputs(job_id: str) -> Call[OutputList]:
    """List what a job left behind."""
    return Call("GET", path_of(_JOBS, job_id, "files"), reads(OutputList))


def output_url(job_id: str, path: str) -> Call[DownloadUrl]:
    """Get a URL for one file that a job left behind."""
    return Call("GET", path_of(_JOBS, job_id, "files", path), reads(DownloadUrl), params_of(presign=True))
