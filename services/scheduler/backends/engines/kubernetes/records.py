"""What we read of the cluster's objects; everything else in them is passed over."""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Final, Generic, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

__all__ = [
    "Condition",
    "Container",
    "ContainerStatus",
    "Event",
    "Job",
    "Meta",
    "Node",
    "Page",
    "Pod",
    "Quota",
    "Record",
    "Review",
    "Said",
    "Status",
    "Taint",
    "Terminated",
    "Workload",
    "quantity",
]

_SUFFIXES: Final = {
    "": 1,
    **{letter: 1000**power for power, letter in enumerate(("k", "M", "G", "T", "P", "E"), start=1)},
    **{f"{letter}i": 1024**power for power, letter in enumerate(("K", "M", "G", "T", "P", "E"), start=1)},
}
_SMALL: Final = {"n": -9, "u": -6, "m": -3}
_QUANTITY: Final = re.compile(r"([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)([numkKMGTPE]?i?)")


def quantity(text: str | float) -> float:
    """Read an amount as Kubernetes writes it: `500m`, `2Gi`, `1e3`."""
    found = _QUANTITY.fullmatch(str(text))
    if found is None:
        raise ValueError(f"not an amount: {text}")
    number, suffix = found.groups()
    if suffix in _SMALL:
        return float(Decimal(number).scaleb(_SMALL[suffix]))
    return float(Decimal(number) * _SUFFIXES[suffix])


def _quantities(value: Any) -> Any:
    return {key: quantity(text) for key, text in value.items()} if isinstance(value, dict) else value


Amounts = Annotated[dict[str, float], BeforeValidator(_quantities)]


class _Read(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, frozen=True, extra="ignore")


class Meta(_Read):
    """Who an object is."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    deletion_timestamp: datetime | None = None


class Record(_Read):
    """Any object."""

    metadata: Meta = Meta()


class Condition(_Read):
    """What is said of an object, and why."""

    type: str
    status: str
    reason: str = ""
    message: str = ""

    @property
    def holds(self) -> bool:
        """Say whether it is so."""
        return self.status == "True"


class _JobSpec(_Read):
    suspend: bool = False
    completion_mode: str = "NonIndexed"


class _JobStatus(_Read):
    conditions: list[Condition] = []
    completed_indexes: str = ""
    """Such as `0-2,5`; likewise below."""
    failed_indexes: str = ""


class Job(Record):
    """A Job of `batch/v1`."""

    spec: _JobSpec = _JobSpec()
    status: _JobStatus = _JobStatus()

    def condition(self, kind: str) -> Condition | None:
        """Return a condition that holds."""
        return next((item for item in self.status.conditions if item.type == kind and item.holds), None)


class _Waiting(_Read):
    reason: str = ""
    message: str = ""


class Terminated(_Read):
    """How a container ended."""

    exit_code: int
    reason: str = ""
    message: str = ""


class _ContainerState(_Read):
    waiting: _Waiting | None = None
    terminated: Terminated | None = None


class ContainerStatus(_Read):
    """How a container stands."""

    state: _ContainerState = _ContainerState()


class _Resources(_Read):
    requests: Amounts = {}


class Container(_Read):
    """What a container asks for."""

    resources: _Resources = _Resources()


class _PodSpec(_Read):
    node_name: str = ""
    containers: list[Container] = []


class _PodStatus(_Read):
    phase: str = "Pending"
    reason: str = ""
    message: str = ""
    conditions: list[Condition] = []
    container_statuses: list[ContainerStatus] = []


class Pod(Record):
    """A pod."""

    spec: _PodSpec = _PodSpec()
    status: _PodStatus = _PodStatus()

    def condition(self, kind: str) -> Condition | None:
        """Return a condition, whether it holds or not."""
        return next((item for item in self.status.conditions if item.type == kind), None)

    @property
    def has_ended(self) -> bool:
        """Say whether nothing of it runs any more."""
        return self.status.phase in {"Succeeded", "Failed"}

    @property
    def terminated(self) -> Terminated | None:
        """Return how its container ended."""
        return next((item.state.terminated for item in self.status.container_statuses if item.state.terminated), None)

    @property
    def waiting(self) -> _Waiting | None:
        """Return what its container waits for."""
        return next((item.state.waiting for item in self.status.container_statuses if item.state.waiting), None)


class Taint(_Read):
    """What keeps pods from a node."""

    key: str
    value: str = ""
    effect: str = ""


class _NodeSpec(_Read):
    unschedulable: bool = False
    taints: list[Taint] = []


class _NodeStatus(_Read):
    allocatable: Amounts = {}
    conditions: list[Condition] = []


class Node(Record):
    """A machine of the cluster."""

    spec: _NodeSpec = _NodeSpec()
    status: _NodeStatus = _NodeStatus()

    @property
    def is_ready(self) -> bool:
        """Say whether it takes pods."""
        return not self.spec.unschedulable and any(
            item.type == "Ready" and item.holds for item in self.status.conditions
        )


class _Involved(_Read):
    uid: str = ""


class Event(Record):
    """What the cluster noted about an object."""

    involved_object: _Involved = _Involved()
    reason: str = ""
    message: str = ""


class _QuotaStatus(_Read):
    hard: Amounts = {}
    used: Amounts = {}


class Quota(Record):
    """What may be used in a namespace, and is."""

    status: _QuotaStatus = _QuotaStatus()


class Workload(Record):
    """What Kueue keeps for a Job that is in a queue."""

    status: _JobStatus = _JobStatus()


class _Cause(_Read):
    field: str = ""
    message: str = ""


class _Details(_Read):
    causes: list[_Cause] = []
    retry_after_seconds: float | None = None


class Status(_Read):
    """What the API server says when it answers no."""

    code: int = 0
    reason: str = ""
    message: str = ""
    details: _Details = _Details()


class _Answer(_Read):
    allowed: bool = False


class Review(_Read):
    """Whether we have a right."""

    status: _Answer = _Answer()


class Said(_Read):
    """What `/version` says: `v1.36.0`, or with more behind it as distributors like."""

    git_version: str


class _ListMeta(_Read):
    resource_version: str = ""
    continue_: str = Field(default="", alias="continue")


R = TypeVar("R", bound=Record)


class Page(_Read, Generic[R]):
    """Some of a list."""

    metadata: _ListMeta = _ListMeta()
    items: Annotated[list[R], BeforeValidator(lambda value: value or [])] = []
