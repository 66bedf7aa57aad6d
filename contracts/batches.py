"""Many jobs in one request, which may wait for each other: all are let in, or none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Protocol, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from .errors import FieldError, InvalidError
from .ids import WorkloadId, workload_id_from
from .model import Model, Timestamp
from .resources import Span
from .spec import After, JobSpec, Outcome
from .states import TERMINAL, WorkloadState

__all__ = [
    "MAX_JOBS",
    "MAX_WAITS",
    "Batch",
    "BatchAfter",
    "BatchId",
    "BatchJob",
    "BatchMember",
    "BatchSpec",
    "BatchState",
    "Key",
    "Waiting",
    "job_ids",
    "jobs_of",
    "order_of",
    "state_of",
]

MAX_JOBS = 1000
"""Jobs of one batch: one transaction lets them in, and everybody else waits for it. More of one kind are an array."""

MAX_WAITS = 10_000
"""Entries of all `after` of a batch together."""

_NAMED = 10
"""Keys of a cycle that are named."""

BatchId = Annotated[str, StringConstraints(pattern=r"^bat-[0-9a-f]{32}$")]
"""A batch's identifier, e.g. `bat-0193e7…`."""

Key = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
"""What a job is called inside its batch."""


class BatchAfter(Model):
    """Another job whose end is waited for: one of the batch by its `key`, or any by its id."""

    key: Key | None = None
    job: WorkloadId | None = None
    on: Outcome = Outcome.SUCCESS
    delay: Annotated[Span, Field(ge=timedelta(0), le=timedelta(days=365))] = timedelta(0)
    """The pause between its end and the start."""

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if (self.key is None) == (self.job is None):
            raise ValueError("give either key or job")
        return self


class BatchJob(JobSpec):
    """A job of a batch: what any job is, with a key of its own."""

    key: Key = Field(examples=["prepare"])
    after: list[BatchAfter] = Field(default=[], max_length=1000)  # type: ignore[assignment]  # keys, and not only ids

    @field_validator("after")
    @classmethod
    def _check_after(cls, after: list[BatchAfter]) -> list[BatchAfter]:  # type: ignore[override]
        if len({(item.key, item.job) for item in after}) != len(after):
            raise ValueError("a job is named twice")
        return after


class BatchSpec(Model):
    """Jobs that are let in together."""

    name: str | None = Field(default=None, max_length=128, pattern=r"^[^\x00-\x1f\x7f/]+$", examples=["sweep"])
    jobs: list[BatchJob] = Field(min_length=1, max_length=MAX_JOBS)


class BatchState(StrEnum):
    """How a batch stands."""

    ACTIVE = "active"
    """Something has not ended."""
    SUCCEEDED = "succeeded"
    """Everything."""
    CANCELED = "canceled"
    """Nothing failed, but not everything succeeded."""
    FAILED = "failed"


class BatchMember(Model):
    """A job of a batch, and how it stands."""

    key: Key
    job_id: WorkloadId
    after: list[BatchAfter] = []
    state: WorkloadState = WorkloadState.ACCEPTED
    exit_code: int | None = None
    message: str = ""


class Batch(Model):
    """A batch as its owner sees it."""

    id: BatchId
    owner: str
    project: str | None = None
    """Of its first job."""
    name: str | None = None
    state: BatchState
    counts: dict[WorkloadState, int] = {}
    """How many jobs stand where."""
    jobs: list[BatchMember] = []
    """In the order of the request; left out where batches are listed."""
    created_at: Timestamp


def state_of(counts: dict[WorkloadState, int]) -> BatchState:
    """Return how a batch stands whose jobs stand like this."""
    there = {state for state, count in counts.items() if count}
    if there - TERMINAL:
        return BatchState.ACTIVE
    if there & {WorkloadState.FAILED, WorkloadState.LOST}:
        return BatchState.FAILED
    return BatchState.CANCELED if WorkloadState.CANCELED in there else BatchState.SUCCEEDED


def job_ids(batch_id: str, spec: BatchSpec) -> dict[str, str]:
    """Return the identifier of each job by its key: the same batch has always the same."""
    return {job.key: workload_id_from(batch_id, job.key) for job in spec.jobs}


def jobs_of(batch_id: str, spec: BatchSpec) -> list[JobSpec]:
    """Return the jobs as they are submitted: every key is an identifier, and who has no name is called by the key.

    An input from `jobs/<key>/…` is what another job of the batch leaves behind; it must be one that is waited for.
    """
    ids = job_ids(batch_id, spec)
    errors = [error for place, job in enumerate(spec.jobs) for error in _early(place, job, ids)]
    if errors:
        raise _refusal(errors)
    return [_job(job, ids) for job in spec.jobs]


def _job(job: BatchJob, ids: dict[str, str]) -> JobSpec:
    given = {name: getattr(job, name) for name in JobSpec.model_fields if name in job.model_fields_set}
    after = [
        After(job=ids[item.key] if item.key else item.job or "", on=item.on, delay=item.delay) for item in job.after
    ]
    given["inputs"] = [item.model_copy(update={"source": _source(item.source, ids)}) for item in job.inputs]
    if job.application is not None:
        folders = {name: [_source(one, ids) for one in some] for name, some in job.application.inputs.items()}
        given["application"] = job.application.model_copy(update={"inputs": folders})
    return JobSpec.model_validate({**given, "after": after, "name": job.name or job.key})


def _giver(source: str, ids: dict[str, str]) -> str | None:
    """Return the key of the job of this batch that an input comes from."""
    folder, _, rest = source.partition("/")
    key = rest.partition("/")[0]
    return key if folder == "jobs" and key in ids else None


def _source(source: str, ids: dict[str, str]) -> str:
    key = _giver(source, ids)
    return source if key is None else f"jobs/{ids[key]}{source.removeprefix(f'jobs/{key}')}"


def _early(place: int, job: BatchJob, ids: dict[str, str]) -> Iterable[FieldError]:
    awaited = {item.key for item in job.after}
    for field, source in _sources(job):
        key = _giver(source, ids)
        if key is not None and key not in awaited:
            message = f"it comes from {key!r}, which must stand in `after`"
            yield FieldError(field=f"jobs.{place}.{field}", message=message)


def _sources(job: BatchJob) -> Iterator[tuple[str, str]]:
    """Return every place that inputs come from, each with the name of its field."""
    for number, item in enumerate(job.inputs):
        yield f"inputs.{number}.source", item.source
    for argument, folders in job.application.inputs.items() if job.application else ():
        for number, folder in enumerate(folders):
            yield f"application.inputs.{argument}.{number}", folder


class Waiting(Protocol):
    """What has a key and waits for others."""

    @property
    def key(self) -> str:
        """Return what it is called in its batch."""

    @property
    def after(self) -> Sequence[BatchAfter]:
        """Return whose end it waits for."""


def order_of(jobs: Sequence[Waiting]) -> list[int]:
    """Return the places of the jobs so that each comes behind those it waits for; refuses what has no such order."""
    places: dict[str, int] = {}
    for place, job in enumerate(jobs):
        places.setdefault(job.key, place)
    errors = [*_twice(jobs, places), *_unknown(jobs, places)]
    if sum(len(job.after) for job in jobs) > MAX_WAITS:
        errors.append(FieldError(field="jobs", message=f"all `after` together have more than {MAX_WAITS} entries"))
    if errors:
        raise _refusal(errors)
    return _sorted(jobs, places)


def _twice(jobs: Sequence[Waiting], places: dict[str, int]) -> Iterable[FieldError]:
    for place, job in enumerate(jobs):
        if places[job.key] != place:
            yield FieldError(field=f"jobs.{place}.key", message=f"{job.key!r} is given twice")


def _unknown(jobs: Sequence[Waiting], places: dict[str, int]) -> Iterable[FieldError]:
    for place, job in enumerate(jobs):
        for number, item in enumerate(job.after):
            field = f"jobs.{place}.after.{number}.key"
            if item.key == job.key:
                yield FieldError(field=field, message=f"{job.key!r} cannot wait for itself")
            elif item.key is not None and item.key not in places:
                yield FieldError(field=field, message=f"there is no job with the key {item.key!r} in this batch")


def _sorted(jobs: Sequence[Waiting], places: dict[str, int]) -> list[int]:
    waits = [{places[item.key] for item in job.after if item.key} for job in jobs]
    followers: list[list[int]] = [[] for _ in jobs]
    for place, awaited in enumerate(waits):
        for other in awaited:
            followers[other].append(place)
    left = [len(awaited) for awaited in waits]
    order = [place for place, count in enumerate(left) if not count]
    for place in order:  # it grows while we go
        for follower in followers[place]:
            left[follower] -= 1
            if not left[follower]:
                order.append(follower)
    if len(order) < len(jobs):
        raise _refusal([_cycle(jobs, waits, {place for place, count in enumerate(left) if count})])
    return order


def _cycle(jobs: Sequence[Waiting], waits: list[set[int]], stuck: set[int]) -> FieldError:
    """Name a cycle among those that wait for each other; from each of them a way leads into one."""
    place, seen = min(stuck), list[int]()
    while place not in seen:
        seen.append(place)
        place = min(waits[place] & stuck)
    cycle = [*seen[seen.index(place) :], place]
    keys = [jobs[each].key for each in cycle]
    named = [*keys[:_NAMED], "…", keys[-1]] if len(keys) > _NAMED + 1 else keys
    return FieldError(field=f"jobs.{place}.after", message=f"these wait for each other: {' → '.join(named)}")


def _refusal(errors: list[FieldError]) -> InvalidError:
    return InvalidError("; ".join(f"{item.field}: {item.message}" for item in errors[:5]), errors=errors[:100])
