"""Where a job would go, and why not elsewhere."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, ClassVar

from .model import Model
from .principals import Principal
from .query import Query
from .spec import JobSpec

__all__ = ["Candidate", "PlaceWorkload", "PlacementOrder", "PlacementView", "Start"]


class PlacementOrder(StrEnum):
    """By what a backend is chosen among those that can hold a job."""

    ORDERED = "ordered"
    """The first of a list that has room."""
    CHEAPEST = "cheapest"
    EMPTIEST = "emptiest"
    """The one with most free cores."""
    NEAREST = "nearest"
    """The one to which the fewest bytes must be moved."""
    PINNED = "pinned"
    """One, and no other."""


class Start(StrEnum):
    """When a job would be let go."""

    NOW = "now"
    LATER = "later"
    """When there is room, its moment has come, or its backend is back."""
    NEVER = "never"
    """No backend can hold it: a submit is refused."""


class Candidate(Model):
    """What is to be said of one backend for one job."""

    backend: str
    fits: bool
    """Whether it could ever hold the job."""
    ready: bool = False
    """Whether it would take it now: it answers, is not draining, and has room."""
    chosen: bool = False
    field: str = ""
    """What of the job speaks against it, such as `resources.gpus.model`; empty where nothing of the job does."""
    reason: str
    """Why it goes there, or why not."""
    cost: float | None = None
    """What it costs there if it runs for its whole walltime."""
    bytes_to_move: int | None = None


class PlacementView(Model):
    """Where a job would go as things stand, and why."""

    backend: str | None
    """None if no backend can ever hold it."""
    start: Start
    why: str
    order: PlacementOrder
    patience: float | None = None
    """Seconds for which it may lie in a backend's own queue before it goes elsewhere; none is for ever."""
    candidates: list[Candidate]
    """Every backend, the chosen one first, then those that could hold it in the order in which they would be tried."""


class PlaceWorkload(Query):
    """Tell me where this would go if it were submitted now; nothing is kept. Answered with the `PlacementView`."""

    name: ClassVar[str] = "workload.place"
    service: ClassVar[str] = "scheduler"
    answer: ClassVar[Any] = PlacementView

    principal: Principal
    spec: JobSpec
