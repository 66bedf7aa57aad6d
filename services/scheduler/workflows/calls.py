"""The signatures of the activities that workflows call; `activities/` does what they say."""

from __future__ import annotations

from abc import ABC, abstractmethod

from temporalio import activity

from .words import AttemptRef, Ending, Move, Submitted

__all__ = ["JobCalls"]


class JobCalls(ABC):
    """What a job's workflow has done for it. Every call repeats harmlessly."""

    @activity.defn
    @abstractmethod
    async def submit_attempt(self, ref: AttemptRef) -> Submitted:
        """Choose a backend, record the attempt as queued, and hand it over."""

    @activity.defn
    @abstractmethod
    async def cancel_attempt(self, ref: AttemptRef) -> Ending:
        """Ask the backend to end an attempt."""

    @activity.defn
    @abstractmethod
    async def move(self, move: Move) -> None:
        """Record a move of the workload."""
