"""The signatures of the activities that workflows call; `activities/` does what they say."""

from __future__ import annotations

from abc import ABC, abstractmethod

from temporalio import activity

from .words import ArrayEnd, ArrayStanding, AttemptRef, Ending, Move, Recall, Submitted, Withdrawn

__all__ = ["ArrayCalls", "JobCalls"]


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
    async def look_up_attempt(self, ref: AttemptRef) -> Ending:
        """Say whether the backend has forgotten an attempt that was handed over."""

    @activity.defn
    @abstractmethod
    async def withdraw_attempt(self, ref: AttemptRef) -> Withdrawn:
        """Take an attempt back that was not begun, if another backend would have it."""

    @activity.defn
    @abstractmethod
    async def move(self, move: Move) -> None:
        """Record a move of the workload."""


class ArrayCalls(ABC):
    """What is done for the tasks of an array. Every call repeats harmlessly."""

    @activity.defn
    @abstractmethod
    async def hand_out_tasks(self, workload_id: str) -> ArrayStanding:
        """Hand out as many tasks as may go now."""

    @activity.defn
    @abstractmethod
    async def recall_tasks(self, workload_id: str, recall: Recall) -> None:
        """Have some tasks ended, or all."""

    @activity.defn
    @abstractmethod
    async def conclude_array(self, workload_id: str) -> ArrayEnd:
        """Say how an array ended, of which nothing is under way any more."""
