"""Secrets inside of what users ask for: found in one place, whoever seals, hides or marks them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from .batches import BatchSpec
from .schedules import ScheduleSpec
from .spec import JobSpec
from .subscriptions import SubscriptionSpec

__all__ = ["Wish", "keep_secret", "replace_secrets", "without_secrets"]

Wish = JobSpec | BatchSpec | ScheduleSpec | SubscriptionSpec
_W = TypeVar("_W", JobSpec, BatchSpec, ScheduleSpec, SubscriptionSpec)

Replace = Callable[[str], str | None]


def replace_secrets(wish: _W, replace: Replace) -> _W:
    """Return *wish* with every secret replaced; the same object if it has none."""
    if isinstance(wish, BatchSpec):
        jobs = [_job(job, replace) for job in wish.jobs]
        changed = any(new is not old for new, old in zip(jobs, wish.jobs, strict=True))
        return wish.model_copy(update={"jobs": jobs}) if changed else wish
    if isinstance(wish, ScheduleSpec):
        job = _job(wish.job, replace)
        return wish if job is wish.job else wish.model_copy(update={"job": job})
    if isinstance(wish, SubscriptionSpec):
        return wish if wish.secret is None else wish.model_copy(update={"secret": replace(wish.secret)})
    return _job(wish, replace)


def without_secrets(wish: _W) -> _W:
    """Return *wish* as it may be shown."""
    return replace_secrets(wish, lambda _: None)


_J = TypeVar("_J", bound=JobSpec)


def _job(spec: _J, replace: Replace) -> _J:
    callback = spec.callback
    if callback is None or callback.secret is None:
        return spec
    changed = callback.model_copy(update={"secret": replace(callback.secret)})
    return spec.model_copy(update={"callback": changed})


def keep_secret(new: JobSpec, old: JobSpec) -> JobSpec:
    """Return *new* with the secret of *old* if it has none and tells the same URL: nobody can repeat what is hidden."""
    callback, known = new.callback, old.callback
    if callback is None or known is None or callback.secret is not None or callback.url != known.url:
        return new
    return new.model_copy(update={"callback": callback.model_copy(update={"secret": known.secret})})
