"""The site's policies of placement: one for each project, and one for all others."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from contracts.placements import PlacementOrder
from contracts.resources import Span
from contracts.spec import BackendName, LabelName, LabelValue, ProjectName

__all__ = ["PlacementPolicy", "PlacementSettings"]

_LISTED = frozenset({PlacementOrder.ORDERED, PlacementOrder.PINNED})
"""Orders that mean nothing without a list."""


class PlacementPolicy(BaseModel):
    """Where the jobs of a project go."""

    model_config = ConfigDict(extra="forbid")

    order: PlacementOrder = PlacementOrder.EMPTIEST
    backends: list[BackendName] = []
    """Where jobs go that name no backend, the best liked first; none is everywhere."""
    patience: Annotated[Span, Field(gt=timedelta(0))] | None = None
    """How long a job may lie in a backend's own queue before it is taken back and goes elsewhere; none is for ever."""
    allowed: list[BackendName] | None = None
    """Where jobs may go at all, those that name a backend too; none is everywhere."""
    denied: list[BackendName] = []
    sites: list[BackendName] = []
    """Only backends of these sites: where the data of the project may be."""
    labels: dict[LabelName, LabelValue] = {}
    """Only backends that have all of these."""

    @model_validator(mode="after")
    def _check_list(self) -> Self:
        if self.order in _LISTED and not self.backends:
            raise ValueError(f"the order {self.order.value!r} needs backends")
        if self.order is PlacementOrder.PINNED and len(self.backends) != 1:
            raise ValueError("pinned is to one backend")
        return self

    @property
    def named(self) -> set[str]:
        """Return all backends that are spoken of."""
        return {*self.backends, *(self.allowed or ()), *self.denied}


class PlacementSettings(BaseModel):
    """The part of the file under `scheduler.placement`."""

    model_config = ConfigDict(extra="forbid")

    default: PlacementPolicy = PlacementPolicy()
    projects: dict[ProjectName, PlacementPolicy] = {}
    store: BackendName = "store"
    """What backends call the store of this site in `near`."""
    store_site: BackendName | None = None
    """Where it stands: backends of this site are near it too."""

    def policy_of(self, project: str | None) -> PlacementPolicy:
        """Return where the jobs of a project go."""
        return self.projects.get(project or "", self.default)

    def require_known(self, names: Collection[str]) -> None:
        """Refuse policies that speak of backends that there are not; raises `ValueError`."""
        for place, policy in (("default", self.default), *((f"projects.{n}", p) for n, p in self.projects.items())):
            if unknown := sorted(policy.named - set(names)):
                raise ValueError(f"placement.{place}: there is no backend {unknown[0]!r}")
