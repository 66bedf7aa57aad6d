"""What Ray says, as far as it is of use. Versions differ: what is not there has a default."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from pydantic import AliasChoices, BaseModel, Field, TypeAdapter

__all__ = [
    "DEMANDS",
    "JOBS",
    "NODES",
    "STATUS",
    "ClusterStatus",
    "Launches",
    "RayDemand",
    "RayJob",
    "RayNode",
    "StateAnswer",
    "Usage",
]


class RayJob(BaseModel):
    """A job in the list of all."""

    submission_id: str | None = None
    """None: somebody's program that joined the cluster by itself."""
    status: str = ""
    message: str | None = None
    error_type: str | None = None
    driver_exit_code: int | None = None
    end_time: float | None = None
    """Milliseconds since 1970."""
    driver_agent_http_address: str | None = None
    runtime_env: dict[str, Any] | None = None


class RayDemand(BaseModel):
    """The process that is to run a job and waits for its room: Ray's list of jobs does not say what they ask for."""

    name: str = ""
    required_resources: dict[str, float] = {}
    label_selector: dict[str, str] | None = None


class RayNode(BaseModel):
    """A node in the list of all."""

    node_id: str
    node_ip: str = ""
    node_name: str = ""
    state: str = ""
    resources_total: dict[str, float] = {}
    labels: dict[str, str] = {}


_Row = TypeVar("_Row")


class _Listed(BaseModel, Generic[_Row]):
    result: list[_Row] = []


class _Data(BaseModel, Generic[_Row]):
    result: _Listed[_Row] = _Listed()


class StateAnswer(BaseModel, Generic[_Row]):
    """An answer of the API of states."""

    data: _Data[_Row] = _Data()

    @property
    def rows(self) -> list[_Row]:
        """Return what was found."""
        return self.data.result.result


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
NODES = TypeAdapter(StateAnswer[RayNode])
DEMANDS = TypeAdapter(StateAnswer[RayDemand])
STATUS = TypeAdapter(_StatusAnswer)
