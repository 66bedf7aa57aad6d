"""What Ray says, as far as it is of use. Versions differ: what is not there has a default."""

from __future__ import annotations

from typing import Any

from pydantic import AliasChoices, BaseModel, Field, TypeAdapter

__all__ = ["JOBS", "NODES", "STATUS", "ClusterStatus", "Launches", "RayJob", "RayNode", "Usage"]


class RayJob(BaseModel):
    """A job in the list of all."""

    submission_id: str | None = None
    """None: somebody's program that joined the cluster by itself."""
    status: str = ""
    message: str | None = None
    error_type: str | None = None
    driver_exit_code: int | None = None
    driver_node_id: str | None = None
    driver_agent_http_address: str | None = None
    entrypoint_num_cpus: float | None = None
    entrypoint_num_gpus: float | None = None
    entrypoint_memory: float | None = None
    entrypoint_resources: dict[str, float] | None = None
    runtime_env: dict[str, Any] | None = None

    @property
    def wants(self) -> dict[str, float]:
        """Return what it asks for, by Ray's names."""
        own = {"CPU": self.entrypoint_num_cpus, "GPU": self.entrypoint_num_gpus, "memory": self.entrypoint_memory}
        asked = own | (self.entrypoint_resources or {})
        return {name: amount for name, amount in asked.items() if amount}


class RayNode(BaseModel):
    """A node in the list of all."""

    node_id: str
    node_ip: str = ""
    node_name: str = ""
    state: str = ""
    resources_total: dict[str, float] = {}
    labels: dict[str, str] = {}


class _NodeList(BaseModel):
    result: list[RayNode] = []


class _NodeData(BaseModel):
    result: _NodeList = _NodeList()


class _NodeAnswer(BaseModel):
    data: _NodeData = _NodeData()


class Usage(BaseModel):
    """What is held of what there is: pairs by the name of the resource."""

    by_node: dict[str, dict[str, tuple[float, float]]] = Field(default={}, alias="usageByNode")


class Launches(BaseModel):
    """What the autoscaler is at."""

    pending: dict[str, int] | None = Field(default=None, alias="pendingLaunches")
    nodes: list[Any] | None = Field(default=None, alias="pendingNodes")
    failed: list[Any] | None = Field(default=None, alias="failedNodes")


class ClusterStatus(BaseModel):
    """The last report of the autoscaler, which runs on every cluster."""

    usage: Usage | None = Field(default=None, validation_alias=AliasChoices("loadMetricsReport"))
    launches: Launches | None = Field(default=None, validation_alias=AliasChoices("autoscalerReport"))


class _StatusData(BaseModel):
    status: ClusterStatus | None = Field(default=None, alias="clusterStatus")


class _StatusAnswer(BaseModel):
    data: _StatusData = _StatusData()


JOBS = TypeAdapter(list[RayJob])
NODES = TypeAdapter(_NodeAnswer)
STATUS = TypeAdapter(_StatusAnswer)
