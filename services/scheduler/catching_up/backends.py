"""Folds what was told of backends: which are drained."""

from __future__ import annotations

from contracts.backends import BackendDrained, BackendResumed, Drain
from services.chassis.unit import Work
from services.scheduler.placing.drains import forget_drain, keep_drain

__all__ = ["drain", "resume"]


async def drain(work: Work, event: BackendDrained) -> None:
    """Write down that a backend gets no new work."""
    await keep_drain(work, event.backend, Drain(by=event.by, at=event.at, message=event.message))


async def resume(work: Work, event: BackendResumed) -> None:
    """Write down that it gets work again."""
    await forget_drain(work, event.backend)
