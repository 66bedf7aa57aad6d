"""What is asked of the cluster as a whole: its nodes, and its jobs, all at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from time import monotonic

from pydantic import TypeAdapter

from .api import NomadApi, Rights
from .keeping import Kept, Raw
from .settings import NomadSettings
from .words import AllocStub, Evaluation, JobStub, Namespace, NodeDetail, NodeStub

__all__ = ["ALL", "Cluster"]

ALL = "*"
"""All namespaces that the token may see."""
_ALLOCS = TypeAdapter(list[AllocStub])
_EVALS = TypeAdapter(list[Evaluation])
_NODES = TypeAdapter(list[NodeStub])
_NODE = TypeAdapter(NodeDetail)
_NAMESPACES = TypeAdapter(list[Namespace])
_FRESH = 30.0
"""Seconds for which the nodes are taken to be what they were, where only their sort matters."""


class Cluster:
    """One call for each question, however many jobs there are."""

    def __init__(self, api: NomadApi, settings: NomadSettings) -> None:
        self._api = api
        self._settings = settings
        self._nodes: tuple[float, list[NodeStub]] | None = None
        self._models: dict[str, tuple[int, str]] = {}
        self._jobs = Kept(JobStub, lambda row: (row["ModifyIndex"], (row.get("JobSummary") or {}).get("ModifyIndex")))
        self._allocs = Kept(AllocStub, lambda row: row["ModifyIndex"])

    async def jobs(self, prefix: str) -> list[JobStub]:
        """Return the jobs whose names begin so."""
        return self._jobs.read(await self._jobs_in(prefix, ALL))

    async def jobs_there(self, prefix: str, namespaces: Iterable[str]) -> list[JobStub]:
        """Return the jobs of some namespaces, each asked for by itself.

        Asked for all namespaces at once, Nomad says nothing of those that the token may not see, as if they were empty;
        asked for one of them, it says that it may not, which is an `UnavailableError` here.
        """
        found = [row for namespace in sorted(set(namespaces)) for row in await self._jobs_in(prefix, namespace)]
        return [JobStub.model_validate(row) for row in found]

    async def _jobs_in(self, prefix: str, namespace: str) -> list[Raw]:
        return await self._rows("/v1/jobs", Rights.LIST_JOBS, {"prefix": prefix, "namespace": namespace}, "ID", prefix)

    async def allocs_of(self, prefix: str) -> list[AllocStub]:
        """Return the allocations of jobs whose names begin so. Nomad 1.3 and newer sends no others."""
        params = {"namespace": ALL, "filter": f'JobID matches "^{prefix}"'}
        return self._allocs.read(await self._rows("/v1/allocations", Rights.READ_JOB, params, "JobID", prefix))

    async def _rows(self, path: str, right: str, params: Mapping[str, str], key: str, prefix: str) -> list[Raw]:
        found = await self._api.rows(path, right, params)
        return [row for row in found if str(row.get(key)).startswith(prefix)]

    async def allocs(self) -> list[AllocStub]:
        """Return all allocations that the token may see, with what they were given and without what their tasks did."""
        params = {"namespace": ALL, "resources": "true", "task_states": "false"}
        return await self._api.get("/v1/allocations", _ALLOCS, Rights.READ_JOB, params)

    async def evals_of(self, prefix: str, namespace: str) -> list[Evaluation]:
        """Return the evaluations of jobs whose names begin so, in one namespace: Nomad 1.1 knows no other way."""
        params = {"namespace": namespace, "filter": f'JobID matches "^{prefix}"'}
        found = await self._api.get("/v1/evaluations", _EVALS, Rights.READ_JOB, params)
        return [each for each in found if each.job_id.startswith(prefix)]

    async def nodes(self, *, fresh: bool = True) -> list[NodeStub]:
        """Return all nodes with what they have."""
        if not fresh and self._nodes and monotonic() - self._nodes[0] < _FRESH:
            return self._nodes[1]
        found = await self._api.get("/v1/nodes", _NODES, Rights.READ_NODE, {"resources": "true"})
        self._nodes = monotonic(), found
        return found

    async def models(self, nodes: Iterable[NodeStub]) -> dict[str, str]:
        """Return the GPU models that nodes say in their meta, by their ids. A node that did not change is not asked."""
        key = self._settings.gpu_meta
        if not key:
            return {}
        for node in nodes:
            known = self._models.get(node.id)
            if known is None or known[0] != node.modify_index:
                detail = await self._api.get(f"/v1/node/{node.id}", _NODE, Rights.READ_NODE)
                self._models[node.id] = node.modify_index, detail.meta.get(key, "")
        return {node: model for node, (_, model) in self._models.items() if model}

    async def has_namespace(self, name: str) -> bool:
        """Say whether a namespace is there and the token may do something in it."""
        return name in {each.name for each in (await self._api.get("/v1/namespaces", _NAMESPACES, Rights.NONE))}
