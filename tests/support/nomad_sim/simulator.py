"""A Nomad cluster in this process: servers that decide, and nodes that run what is placed on them."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from uuid import uuid4

from .acl import Acl
from .client import Run
from .placing import allocation, place
from .store import Row, SimNode, Store

__all__ = ["InvalidJobError", "Simulator"]

_NOT_NEEDED = "alloc not needed due to job update"
_MIGRATED = "alloc is being migrated"
_LOST = "alloc is lost since its node is down"


class InvalidJobError(Exception):
    """Nomad would not take the job."""


class Simulator:
    """Jobs are evaluated when they are registered, and again when room is given back."""

    def __init__(self, folder: Path, nodes: Iterable[SimNode] = ()) -> None:
        self.store = Store()
        self.acl = Acl()
        self.images: set[str] = set()
        """Those that can be pulled."""
        self.failing = 0
        """How many of the next requests are answered with 500."""
        self.slow_nodes = False
        """Whether what is placed on nodes stays there without being begun."""
        self.requests: list[str] = []
        """Method and path of everything that was asked."""
        self._folder = folder
        self._runs: dict[str, Run] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        for node in nodes:
            self.store.nodes[node.id] = node

    def node(self, name: str) -> SimNode:
        """Return a node by name."""
        return next(node for node in self.store.nodes.values() if node.name == name)

    async def close(self) -> None:
        """End everything that runs."""
        for run in self._runs.values():
            run.crash()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    def register(self, job: Row) -> Row:
        """Take a job and try to place it."""
        if wrong := problems(job):
            raise InvalidJobError("; ".join(wrong))
        key = job["Namespace"], job["ID"]
        version = self.store.jobs[key]["Version"] + 1 if key in self.store.jobs else 0
        row: Row = {**job, "Stop": False, "Status": "pending", "StatusDescription": "", "Version": version}
        summary: Row = {"JobID": job["ID"], "Namespace": job["Namespace"], "Summary": {}, "ModifyIndex": 0}
        row["JobSummary"] = summary
        row["JobModifyIndex"] = self.store.touch("jobs", row)
        self.store.jobs[key] = row
        return self._evaluate(row, "job-register")

    def deregister(self, namespace: str, name: str, *, purge: bool) -> Row | None:
        """Stop a job, and forget it if it is purged."""
        job = self.store.jobs.get((namespace, name))
        if job is None:
            return None
        job["Stop"] = True
        for alloc in self.store.allocs_of(job):
            self._stop(alloc, _NOT_NEEDED)
        for each in self._evals_of(job):
            if each["Status"] == "blocked":
                each["Status"] = "cancelled"
                self.store.touch("evals", each)
        self.store.settle(job)
        if purge:
            del self.store.jobs[namespace, name]
            self.store.touch("jobs")
        return self._note(job, "job-deregister", "complete")

    def collect(self) -> None:
        """Forget what is over, as Nomad does after some hours or when it is told to."""
        for key, job in list(self.store.jobs.items()):
            if job["Status"] == "dead":
                for alloc in self.store.allocs_of(job):
                    del self.store.allocs[alloc["ID"]]
                for each in self._evals_of(job):
                    del self.store.evals[each["ID"]]
                del self.store.jobs[key]
        for table in ("jobs", "allocs", "evals"):
            self.store.touch(table)

    def drain(self, node: SimNode, *, deadline: float | None) -> None:
        """Let no more work in; what runs is migrated at the deadline, in seconds, or not at all."""
        node.draining, node.eligible = True, False
        self._touch_node(node)
        if deadline is not None:
            self._spawn(self._migrate(node, deadline))

    def undrain(self, node: SimNode, *, eligible: bool) -> None:
        """End a drain, or only say whether the node takes work."""
        node.draining, node.eligible = False, eligible
        self._touch_node(node)
        self._again()

    def lose(self, node: SimNode) -> None:
        """Have a node die with all that runs on it."""
        node.status = "down"
        self._touch_node(node)
        for alloc in self.store.allocs_on(node):
            alloc |= {"DesiredStatus": "stop", "DesiredDescription": _LOST, "ClientStatus": "lost"}
            self.store.touch("allocs", alloc)
            if run := self._runs.pop(alloc["ID"], None):
                run.crash()
            self._replace(alloc)

    def _touch_node(self, node: SimNode) -> None:
        node.modify_index = self.store.touch("nodes")

    async def _migrate(self, node: SimNode, deadline: float) -> None:
        await asyncio.sleep(deadline)
        for alloc in self.store.allocs_on(node):
            self._stop(alloc, _MIGRATED)
            self._replace(alloc)

    def _replace(self, alloc: Row) -> None:
        job = self.store.jobs.get((alloc["Namespace"], alloc["JobID"]))
        if job is not None:
            self.store.settle(job)
            if not job["Stop"]:
                self._evaluate(job, "node-update")

    def _stop(self, alloc: Row, why: str) -> None:
        if alloc["ClientStatus"] not in {"pending", "running"} or alloc["DesiredStatus"] == "stop":
            return
        alloc |= {"DesiredStatus": "stop", "DesiredDescription": why}
        self.store.touch("allocs", alloc)
        if run := self._runs.get(alloc["ID"]):
            run.kill()
        else:
            alloc["ClientStatus"] = "complete"

    def _evals_of(self, job: Row) -> list[Row]:
        key = job["Namespace"], job["ID"]
        return [each for each in self.store.evals.values() if (each["Namespace"], each["JobID"]) == key]

    def _evaluate(self, job: Row, trigger: str) -> Row:
        placed = place(self.store, job)
        metrics = {job["TaskGroups"][0]["Name"]: placed.metric} if placed.metric else None
        done = self._note(job, trigger, "complete", metrics)
        if placed.node is None:
            blocked = self._note(job, "queued-allocs", "blocked", metrics)
            done["BlockedEval"] = blocked["ID"]
        else:
            alloc = allocation(job, done, placed)
            self.store.allocs[alloc["ID"]] = alloc
            self.store.touch("allocs", alloc)
            if not self.slow_nodes:
                self._spawn(self._run(job, alloc))
        self.store.settle(job)
        return done

    def _note(self, job: Row, trigger: str, status: str, metrics: Row | None = None) -> Row:
        described = "created to place remaining allocations" if status == "blocked" else ""
        row: Row = {
            "ID": str(uuid4()), "Namespace": job["Namespace"], "JobID": job["ID"], "Type": job["Type"],
            "TriggeredBy": trigger, "Status": status, "StatusDescription": described, "FailedTGAllocs": metrics,
        }  # fmt: skip
        self.store.evals[row["ID"]] = row
        self.store.touch("evals", row)
        return row

    async def _run(self, job: Row, alloc: Row) -> None:
        folder = self._folder / alloc["ID"] / job["TaskGroups"][0]["Tasks"][0]["Name"]
        run = Run(self.store, job, alloc, folder, frozenset(self.images))
        self._runs[alloc["ID"]] = run
        try:
            await run.run()
        finally:
            self._runs.pop(alloc["ID"], None)
        self._again()

    def _again(self) -> None:
        """Try once more to place what is blocked, the most important first."""
        blocked = [each for each in self.store.evals.values() if each["Status"] == "blocked"]
        jobs = {(each["Namespace"], each["JobID"]): each for each in blocked}
        waiting = [(self.store.jobs[key], each) for key, each in jobs.items() if key in self.store.jobs]
        for job, each in sorted(waiting, key=lambda pair: (-(pair[0]["Priority"] or 50), pair[1]["CreateIndex"])):
            if place(self.store, job).node is not None:
                each["Status"] = "complete"
                self.store.touch("evals", each)
                self._evaluate(job, "queued-allocs")

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def problems(job: Row) -> list[str]:
    """Return what Nomad would find wrong with a job."""
    found = []
    if not job.get("Datacenters"):
        found.append("job datacenters must be specified")
    if not 1 <= (job.get("Priority") or 50) <= 100:
        found.append("job priority must be between [1, 100]")
    for each in job.get("Constraints") or []:
        if each["Operand"] == "regexp":
            try:
                re.compile(each["RTarget"])
            except re.error:
                found.append("Constraint validation failed: Regular expression failed to compile")
    for group in job.get("TaskGroups") or []:
        found += [
            f"Task {task['Name']} validation failed: missing driver" for task in group["Tasks"] if not task["Driver"]
        ]
        found += [
            f"Task {task['Name']} validation failed: minimum MemoryMB value is 10"
            for task in group["Tasks"]
            if (task.get("Resources") or {}).get("MemoryMB", 300) < 10
        ]
    return found
