"""A lease as the worker API shows a job, and its words as steps of ours."""

from __future__ import annotations

import os
import shlex
from pathlib import PurePosixPath

from contracts.leases import Lease
from contracts.model import now
from contracts.runs import RunTask, Step, StepName
from contracts.spec import Output
from contracts.states import Reason
from services.gateway.dialects.decode.states import JobStates

from .models import AppSpecs, HandlerSpecs, HardwareSpecs, JobSpecs, MetaSpecs, UploadType

__all__ = ["file_id", "folder_for", "job_of", "refused_by_quota", "steps_of", "target_of"]

_MEGABYTE = 2**20
_GLOB = frozenset("*?[")
_MOST_OF_DETAILS = 2000

_UNKNOWN_CODE = 1
"""Workers say that a program failed, and not with which code."""


def job_of(lease: Lease) -> JobSpecs:
    """Return what a worker is told of a job."""
    task, job = lease.task, lease.job
    return JobSpecs(
        app=AppSpecs(cmd=_command(task), env=dict(task.env)),
        handler=_handler(lease.number, task),
        meta=MetaSpecs(job_id=job.number or lease.number, date_created=_naive(job.created_at.isoformat())),
        hardware=_hardware(lease),
    )


def _command(task: RunTask) -> list[str]:
    """Return words that a shell makes the same program of; a script is words of a shell already."""
    return [task.script] if task.script is not None else [shlex.quote(word) for word in task.argv or ()]


def _handler(number: int, task: RunTask) -> HandlerSpecs:
    image = task.image or ""
    name, _, version = image.rpartition(":") if ":" in image.rpartition("/")[2] else (image, "", "")
    return HandlerSpecs(
        image_url=image,
        image_name=name or None,
        image_version=version or None,
        files_down={item.target: file_id(number, place) for place, item in enumerate(task.inputs)},
        files_up=_files_up(task.outputs),
    )


def _files_up(outputs: list[Output]) -> dict[UploadType, str]:
    """Return the folder of each kind; what goes to no folder of a kind is output."""
    found: dict[UploadType, list[str]] = {}
    for output in outputs:
        found.setdefault(_kind(output), []).append(_folder(output.path))
    return {kind: os.path.commonpath(folders) or "." for kind, folders in found.items()}


def _kind(output: Output) -> UploadType:
    area = (output.to or "").partition("/")[0]
    return UploadType(area) if area in set(UploadType) else UploadType.OUTPUT


def _folder(pattern: str) -> str:
    """Return the folder in which everything lies that a pattern finds; without a pattern it is one itself."""
    parts = PurePosixPath(pattern).parts
    fixed = next((place for place, part in enumerate(parts) if _GLOB & set(part)), len(parts))
    return str(PurePosixPath(*parts[:fixed])) if fixed else ""


def folder_for(task: RunTask, kind: UploadType) -> str | None:
    """Return the folder of the owner's that receives uploads of a kind; none is the job's own."""
    return next((output.to for output in task.outputs if output.to and _kind(output) is kind), None)


def _hardware(lease: Lease) -> HardwareSpecs:
    """Return what the job asks for: its application's own wishes are no condition for the worker to look at."""
    wanted = lease.job.spec.resources
    return HardwareSpecs(
        cpu_cores=max(1, round(wanted.total_cpus)),
        memory=None if wanted.total_memory is None else wanted.total_memory // _MEGABYTE,
        gpu_model=wanted.gpus.model,
        gpu_archi=wanted.gpus.architecture,
        gpu_mem=None if wanted.gpus.memory is None else int(wanted.gpus.memory) // _MEGABYTE,
    )


def _naive(moment: str) -> str:
    """Return a moment as decode writes it: in UTC, without saying so."""
    return moment.removesuffix("+00:00").removesuffix("Z")


# --- files ------------------------------------------------------------------------------------------------------


def file_id(number: int, place: int) -> str:
    """Return what a worker asks for to get an input: it names its lease, and is nothing without it."""
    return f"{number}/{place}"


def target_of(task: RunTask, place: int) -> str | None:
    """Return the place of an input in the working folder, if there is one of this number."""
    return task.inputs[place].target if place < len(task.inputs) else None


# --- words ------------------------------------------------------------------------------------------------------


def steps_of(status: JobStates, details: str | None, *, is_ending: bool) -> list[Step]:
    """Return what a worker's word means. *is_ending*: its program has ended already.

    The first `error` comes before what was printed goes home, the last one after it. `runtime_details` that say
    something mark the last: with the first, workers send what their engine has to say, which mostly is an empty text.
    """
    running = _step(StepName.RUNNING, JobStates.RUNNING)
    match status:
        case JobStates.QUEUED:
            return [
                _step(StepName.DONE, JobStates.QUEUED, reason=Reason.INTERRUPTED, message="its worker gave it back")
            ]
        case JobStates.PULLED | JobStates.PREPROCESSING:
            return [_step(StepName.ALIVE, status, tail=_end_of(details))]
        case JobStates.RUNNING:
            return [running, _step(StepName.ALIVE, "" if is_ending else status, tail=_end_of(details))]
        case JobStates.POSTPROCESSING:
            return [running, _step(StepName.EXITED, status)]
        case JobStates.FINISHED:
            return [running, _step(StepName.DONE, status, reason=Reason.EXITED, exit_code=0)]
        case JobStates.ERROR:
            return [_failure(details, is_last=is_ending or bool(details))]


def refused_by_quota(why: str) -> Step:
    """Return the end of a job whose results its owner has no room for."""
    return _step(StepName.DONE, JobStates.ERROR, reason=Reason.STAGING, message=why)


def _failure(details: str | None, *, is_last: bool) -> Step:
    message = _end_of(details).strip()
    name, reason = (StepName.DONE, Reason.EXITED) if is_last else (StepName.EXITED, None)
    return _step(name, JobStates.ERROR, reason=reason, message=message, exit_code=_UNKNOWN_CODE)


def _step(
    name: StepName,
    phase: str,
    *,
    reason: Reason | None = None,
    message: str = "",
    exit_code: int | None = None,
    tail: str = "",
) -> Step:
    return Step(step=name, at=now(), phase=phase, reason=reason, message=message, exit_code=exit_code, tail=tail)


def _end_of(details: str | None) -> str:
    return (details or "")[-_MOST_OF_DETAILS:]
