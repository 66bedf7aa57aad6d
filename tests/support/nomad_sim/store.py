"""What the servers know: jobs, evaluations, allocations and nodes, as rows with the index of their last change."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import time_ns
from typing import Any
from uuid import uuid4

__all__ = ["Row", "SimNode", "Store"]

Row = dict[str, Any]
"""As it goes over the wire."""
_LIVE = frozenset({"pending", "running"})


@dataclass
class SimNode:
    """A node; its devices are of one vendor and type."""

    name: str
    datacenter: str = "dc1"
    mhz: int = 8000
    cores: int = 4
    memory: int = 8192
    gpus: tuple[str, ...] = ()
    """The models of its GPUs, one each."""
    drivers: tuple[str, ...] = ("raw_exec", "exec", "docker")
    meta: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, str] = field(default_factory=dict)
    node_class: str = ""
    id: str = field(default_factory=lambda: str(uuid4()))
    status: str = "ready"
    eligible: bool = True
    draining: bool = False
    modify_index: int = 1

    @property
    def is_open(self) -> bool:
        """Say whether it takes work."""
        return self.status == "ready" and self.eligible and not self.draining

    def devices(self) -> dict[str, list[str]]:
        """Return the ids of its GPUs, by model."""
        found: dict[str, list[str]] = {}
        for number, model in enumerate(self.gpus):
            found.setdefault(model, []).append(f"GPU-{self.name}-{number}")
        return found


class Store:
    """All rows. Whoever changes one says so by `touch`."""

    def __init__(self) -> None:
        self.index = 10
        self.jobs: dict[tuple[str, str], Row] = {}
        self.evals: dict[str, Row] = {}
        self.allocs: dict[str, Row] = {}
        self.nodes: dict[str, SimNode] = {}
        self.namespaces: set[str] = {"default"}
        self._at: dict[str, int] = {}

    def at(self, table: str) -> int:
        """Return the index of the last change of a table."""
        return self._at.get(table, 1)

    def touch(self, table: str, row: Row | None = None) -> int:
        """Note that a row changed; returns the index of the change."""
        self.index += 1
        self._at[table] = self.index
        if row is not None:
            row["ModifyIndex"] = self.index
            row.setdefault("CreateIndex", self.index)
            row["ModifyTime"] = time_ns()
            row.setdefault("CreateTime", row["ModifyTime"])
        return self.index

    def allocs_of(self, job: Row) -> list[Row]:
        """Return the allocations of a job."""
        key = job["Namespace"], job["ID"]
        return [alloc for alloc in self.allocs.values() if (alloc["Namespace"], alloc["JobID"]) == key]

    def allocs_on(self, node: SimNode) -> list[Row]:
        """Return the allocations on a node that hold room."""
        return [each for each in self.allocs.values() if each["NodeID"] == node.id and each["ClientStatus"] in _LIVE]

    def settle(self, job: Row) -> None:
        """Bring a job's status and summary up to date."""
        allocs, key = self.allocs_of(job), (job["Namespace"], job["ID"])
        evals = [each for each in self.evals.values() if (each["Namespace"], each["JobID"]) == key]
        blocked = any(each["Status"] == "blocked" for each in evals)
        words = {
            "pending": "Starting",
            "running": "Running",
            "complete": "Complete",
            "failed": "Failed",
            "lost": "Lost",
        }
        counts = dict.fromkeys((*words.values(), "Queued"), 0)
        for alloc in allocs:
            counts[words[alloc["ClientStatus"]]] += 1
        counts["Queued"] = int(blocked)
        status = "running" if counts["Running"] + counts["Starting"] else "pending" if blocked else "dead"
        summary = {job["TaskGroups"][0]["Name"]: counts}
        if job.get("Status") != status:
            job["Status"] = status
            self.touch("jobs", job)
        if job["JobSummary"]["Summary"] != summary:
            self.touch("jobs")
            job["JobSummary"] |= {"Summary": summary, "ModifyIndex": self.index}
