"""What Nomad answers, as far as it is read: Nomad 1.1 and newer."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_pascal

__all__ = [
    "AllocStub",
    "Allocated",
    "Device",
    "Evaluation",
    "JobStub",
    "JobSummary",
    "Metric",
    "Namespace",
    "NodeDetail",
    "NodeStub",
    "Registered",
    "Resources",
    "TaskEvent",
    "TaskState",
    "Validated",
]


def _or_map(value: Any) -> Any:
    return {} if value is None else value


def _or_list(value: Any) -> Any:
    return [] if value is None else value


_MAP = BeforeValidator(_or_map)
"""Nomad says null for an empty map, and for an empty list."""
_LIST = BeforeValidator(_or_list)
Words = Annotated[dict[str, str], _MAP]
Counts = Annotated[dict[str, int], _MAP]


class _Said(BaseModel):
    model_config = ConfigDict(alias_generator=to_pascal, extra="ignore", frozen=True)


class _Named(_Said):
    id: str = Field(alias="ID")
    modify_index: int = 0


class _GroupSummary(_Said):
    queued: int = 0


class JobSummary(_Said):
    """How many allocations of a job stand where; its index moves whenever one of them does."""

    summary: Annotated[dict[str, _GroupSummary], _MAP] = {}
    modify_index: int = 0
    namespace: str = ""


class JobStub(_Named):
    """A job in the list of jobs."""

    namespace: str = ""
    status: str = ""
    status_description: str = ""
    stop: bool = False
    job_summary: JobSummary | None = None

    @property
    def at(self) -> str:
        """Return its namespace."""
        return self.namespace or (self.job_summary.namespace if self.job_summary else "") or "default"

    @property
    def version(self) -> tuple[int, int]:
        """Return what differs whenever anything of it does."""
        return self.modify_index, self.job_summary.modify_index if self.job_summary else 0


class TaskEvent(_Said):
    """What happened to a task."""

    type: str = ""
    display_message: str = ""
    details: Words = {}


class TaskState(_Said):
    """A task of an allocation."""

    state: str = ""
    failed: bool = False
    events: Annotated[list[TaskEvent], _LIST] = []


class _Cpu(_Said):
    cpu_shares: int = 0
    total_cpu_cores: int | None = None
    reserved_cores: Annotated[list[int], _LIST] = []
    reservable_cpu_cores: Annotated[list[int], _LIST] = []


class _Memory(_Said):
    memory_mb: int = Field(default=0, alias="MemoryMB")


class _GivenDevice(_Said):
    vendor: str = ""
    type: str = ""
    name: str = ""
    device_ids: Annotated[list[str], _LIST] = Field(default=[], alias="DeviceIDs")


class Resources(_Said):
    """What one task was given."""

    cpu: _Cpu = _Cpu()
    memory: _Memory = _Memory()
    devices: Annotated[list[_GivenDevice], _LIST] = []


class Allocated(_Said):
    """What an allocation was given."""

    tasks: Annotated[dict[str, Resources], _MAP] = {}


class AllocStub(_Named):
    """An allocation in the list of allocations."""

    namespace: str = "default"
    job_id: str = Field(default="", alias="JobID")
    node_id: str = Field(default="", alias="NodeID")
    node_name: str = ""
    create_index: int = 0
    client_status: str = ""
    client_description: str = ""
    desired_status: str = ""
    desired_description: str = ""
    preempted_by_allocation: str = ""
    task_states: Annotated[dict[str, TaskState], _MAP] = {}
    allocated_resources: Allocated | None = None


class Metric(_Said):
    """Why a group could not be placed."""

    nodes_evaluated: int = 0
    nodes_available: Counts = {}
    constraint_filtered: Counts = {}
    class_filtered: Counts = {}
    dimension_exhausted: Counts = {}
    class_exhausted: Counts = {}
    quota_exhausted: Annotated[list[str], _LIST] = []


class Evaluation(_Named):
    """A try of Nomad to place a job."""

    job_id: str = Field(default="", alias="JobID")
    status: str = ""
    status_description: str = ""
    failed_tg_allocs: Annotated[dict[str, Metric], _MAP] = Field(default={}, alias="FailedTGAllocs")


class Registered(_Said):
    """What came of a registration."""

    eval_id: str = Field(default="", alias="EvalID")
    warnings: str = ""


class Validated(_Said):
    """What is wrong with a job."""

    validation_errors: Annotated[list[str], _LIST] = []
    error: str = ""


class Namespace(_Said):
    """A namespace that the token sees."""

    name: str


class _Instance(_Said):
    id: str = Field(default="", alias="ID")
    healthy: bool = True


class Device(_Said):
    """Devices of one sort in a node."""

    vendor: str = ""
    type: str = ""
    name: str = ""
    instances: Annotated[list[_Instance], _LIST] = []


class _NodeResources(_Said):
    cpu: _Cpu = _Cpu()
    memory: _Memory = _Memory()
    devices: Annotated[list[Device], _LIST] = []


class _Reserved(_Said):
    cpu: _Cpu = _Cpu()
    memory: _Memory = _Memory()


class NodeStub(_Named):
    """A node in the list of nodes."""

    name: str = ""
    datacenter: str = ""
    status: str = ""
    scheduling_eligibility: str = ""
    drain: bool = False
    node_resources: _NodeResources | None = None
    reserved_resources: _Reserved | None = None

    @property
    def is_open(self) -> bool:
        """Say whether it takes new work."""
        return self.status == "ready" and self.scheduling_eligibility == "eligible" and not self.drain


class NodeDetail(_Named):
    """A node by itself."""

    meta: Words = {}
