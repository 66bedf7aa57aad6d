"""What a site says of a backend beyond how to reach it: placement goes by it."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from contracts.backends import Cost
from contracts.resources import Bytes, Span
from contracts.spec import BackendName, LabelName, LabelValue

__all__ = ["BackendFacts", "GpuKind"]


def _read_cost(value: Any) -> Any:
    """Take a bare number for the price of a core for an hour."""
    return {"cpu_hour": value} if isinstance(value, int | float) and not isinstance(value, bool) else value


class GpuKind(BaseModel):
    """One model of GPU."""

    model_config = ConfigDict(extra="forbid")

    memory: Bytes | None = None
    architecture: str | None = Field(default=None, min_length=1, max_length=64)


class BackendFacts(BaseModel):
    """What a backend is, what it lets jobs do, and what it costs."""

    site: BackendName | None = None
    """Where it stands."""
    labels: dict[LabelName, LabelValue] = {}
    """What else jobs may ask for, such as `privacy: patients`."""
    cost: Annotated[Cost | None, BeforeValidator(_read_cost)] = None
    """A number is the price of a core for an hour."""
    near: list[BackendName] = []
    """The stores, or sites of stores, that lie beside it."""
    network: bool = True
    """Whether programs there reach other networks."""
    walltime: Annotated[Span, Field(gt=timedelta(0))] | None = None
    """The longest that a job may ask for there."""
    gpus: dict[Annotated[str, Field(min_length=1, max_length=64)], GpuKind] = {}
    """By model, what the cluster does not say of its GPUs itself."""
    drain: bool = False
    """Whether it gets no new work."""
