"""The HTTP API of the simulator, as far as the engine and its tests use Nomad's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from services.chassis.http import serve_http
from services.chassis.settings import Server, Tls
from tests.support.servers import free_ports

from .acl import DeniedError, Policy
from .hcl import BadJobError, parse_job
from .simulator import InvalidJobError, Simulator, problems
from .store import Row, SimNode

__all__ = ["serve_simulator"]

Answer = Callable[[Request, Policy], Awaitable[Response]]


class _Api:
    def __init__(self, simulator: Simulator) -> None:
        self._sim = simulator
        self._store = simulator.store

    def routes(self) -> list[Route]:
        table: list[tuple[str, str, Answer]] = [
            ("GET", "/v1/jobs", self.jobs),
            ("POST", "/v1/jobs", self.register),
            ("POST", "/v1/jobs/parse", self.parse),
            ("POST", "/v1/validate/job", self.validate),
            ("GET", "/v1/job/{id}", self.job),
            ("DELETE", "/v1/job/{id}", self.deregister),
            ("GET", "/v1/allocations", self.allocations),
            ("GET", "/v1/evaluations", self.evaluations),
            ("GET", "/v1/nodes", self.nodes),
            ("GET", "/v1/node/{id}", self.node),
            ("POST", "/v1/node/{id}/drain", self.drain),
            ("POST", "/v1/node/{id}/eligibility", self.eligibility),
            ("GET", "/v1/namespaces", self.namespaces),
            ("POST", "/v1/namespace", self.make_namespace),
            ("PUT", "/v1/system/gc", self.collect),
        ]
        return [Route(path, self._guarded(answer), methods=[method]) for method, path, answer in table]

    def _guarded(self, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            self._sim.requests.append(f"{request.method} {request.url.path}")
            if self._sim.failing:
                self._sim.failing -= 1
                return PlainTextResponse("No cluster leader", 500)
            try:
                policy = self._sim.acl.policy(request.headers.get("X-Nomad-Token"))
                return await answer(request, policy)
            except DeniedError as error:
                return PlainTextResponse(str(error), 403)

        return endpoint

    async def jobs(self, request: Request, policy: Policy) -> Response:
        allowed = self._allowed(request, policy, "list-jobs")
        prefix = request.query_params.get("prefix", "")
        found = [row for row in self._store.jobs.values() if row["Namespace"] in allowed]
        return self._rows("jobs", [_job_stub(row) for row in found if row["ID"].startswith(prefix)])

    async def register(self, request: Request, policy: Policy) -> Response:
        body = await request.json()
        job: Row = body["Job"]
        namespace = job["Namespace"] = job.get("Namespace") or request.query_params.get("namespace", "default")
        self._sim.acl.check(policy, "submit-job", namespace)
        if namespace not in self._store.namespaces:
            return PlainTextResponse(f'job "{job["ID"]}" is in nonexistent namespace "{namespace}"', 500)
        if body.get("EnforceIndex") and (namespace, job["ID"]) in self._store.jobs and not body.get("JobModifyIndex"):
            return PlainTextResponse("Enforcing job modify index 0: job already exists", 500)
        try:
            evaluation = self._sim.register(job)
        except InvalidJobError as error:
            return PlainTextResponse(f"1 error occurred: {error}", 500)
        return JSONResponse({"EvalID": evaluation["ID"], "Warnings": "", "JobModifyIndex": self._store.at("jobs")})

    async def parse(self, request: Request, policy: Policy) -> Response:
        self._sim.acl.check(policy, "submit-job", request.query_params.get("namespace", "default"))
        try:
            return JSONResponse(parse_job((await request.json())["JobHCL"]))
        except BadJobError as error:
            return PlainTextResponse(str(error), 400)

    async def validate(self, request: Request, policy: Policy) -> Response:
        self._sim.acl.check(policy, "submit-job", request.query_params.get("namespace", "default"))
        wrong = problems((await request.json())["Job"])
        said = "; ".join(wrong)
        return JSONResponse({"DriverConfigValidated": True, "ValidationErrors": wrong or None, "Error": said})

    async def job(self, request: Request, policy: Policy) -> Response:
        key = request.query_params.get("namespace", "default"), request.path_params["id"]
        self._sim.acl.check(policy, "read-job", key[0])
        row = self._store.jobs.get(key)
        return self._rows("jobs", row) if row else PlainTextResponse("job not found", 404)

    async def deregister(self, request: Request, policy: Policy) -> Response:
        namespace = request.query_params.get("namespace", "default")
        self._sim.acl.check(policy, "submit-job", namespace)
        purge = request.query_params.get("purge") == "true"
        evaluation = self._sim.deregister(namespace, request.path_params["id"], purge=purge)
        if evaluation is None:
            return PlainTextResponse(f"job {request.path_params['id']!r} doesn't exist to be deregistered", 500)
        return JSONResponse({"EvalID": evaluation["ID"], "JobModifyIndex": 0})

    async def allocations(self, request: Request, policy: Policy) -> Response:
        allowed = self._allowed(request, policy, "read-job")
        left_out = set()
        if request.query_params.get("resources") != "true":
            left_out.add("AllocatedResources")
        if request.query_params.get("task_states") == "false":
            left_out.add("TaskStates")
        found = [row for row in self._store.allocs.values() if row["Namespace"] in allowed]
        return self._rows("allocs", [{key: row[key] for key in row if key not in left_out} for row in found])

    async def evaluations(self, request: Request, policy: Policy) -> Response:
        namespace = request.query_params.get("namespace", "default")
        self._sim.acl.check(policy, "read-job", namespace)
        return self._rows("evals", [row for row in self._store.evals.values() if row["Namespace"] == namespace])

    async def nodes(self, _request: Request, policy: Policy) -> Response:
        self._sim.acl.check(policy, "node:read")
        return self._rows("nodes", [_node_stub(node) for node in self._store.nodes.values()])

    async def node(self, request: Request, policy: Policy) -> Response:
        self._sim.acl.check(policy, "node:read")
        node = self._store.nodes.get(request.path_params["id"])
        if node is None:
            return PlainTextResponse("node not found", 404)
        return self._rows("nodes", _node_stub(node) | {"Meta": node.meta, "Attributes": node.attributes})

    async def drain(self, request: Request, policy: Policy) -> Response:
        self._sim.acl.check(policy, "node:write")
        node, body = self._store.nodes[request.path_params["id"]], await request.json()
        if body.get("DrainSpec") is None:
            self._sim.undrain(node, eligible=bool(body.get("MarkEligible")))
        else:
            deadline = body["DrainSpec"]["Deadline"]
            self._sim.drain(node, deadline=None if deadline == 0 else max(0, deadline) / 1e9)
        return JSONResponse({"NodeModifyIndex": node.modify_index})

    async def eligibility(self, request: Request, policy: Policy) -> Response:
        self._sim.acl.check(policy, "node:write")
        node = self._store.nodes[request.path_params["id"]]
        self._sim.undrain(node, eligible=(await request.json())["Eligibility"] == "eligible")
        return JSONResponse({"NodeModifyIndex": node.modify_index})

    async def namespaces(self, _request: Request, policy: Policy) -> Response:
        seen = [name for name in sorted(self._store.namespaces) if any(policy.allows(each, name) for each in _ANY)]
        return self._rows("namespaces", [{"Name": name, "Description": ""} for name in seen])

    async def make_namespace(self, request: Request, policy: Policy) -> Response:
        self._sim.acl.check(policy, "management")
        self._store.namespaces.add((await request.json())["Name"])
        return Response()

    async def collect(self, _request: Request, policy: Policy) -> Response:
        self._sim.acl.check(policy, "management")
        self._sim.collect()
        return Response()

    def _allowed(self, request: Request, policy: Policy, right: str) -> set[str]:
        namespace = request.query_params.get("namespace", "default")
        if namespace != "*":
            self._sim.acl.check(policy, right, namespace)
            return {namespace}
        seen = {name for name in self._store.namespaces if policy.allows(right, name)}
        for name in seen:
            self._sim.acl.check(policy, right, name)
        return seen

    def _rows(self, table: str, rows: Any) -> Response:
        return JSONResponse(rows, headers={"X-Nomad-Index": str(self._store.at(table)), "X-Nomad-KnownLeader": "true"})


_ANY = ("list-jobs", "read-job", "submit-job")


def _job_stub(row: Row) -> Row:
    names = ("ID", "Name", "Namespace", "Type", "Priority", "Status", "StatusDescription", "Stop", "JobSummary",
             "CreateIndex", "ModifyIndex", "JobModifyIndex")  # fmt: skip
    return {name: row[name] for name in names}


def _node_stub(node: SimNode) -> Row:
    devices = [
        {"Vendor": "nvidia", "Type": "gpu", "Name": model, "Instances": [{"ID": each, "Healthy": True} for each in ids]}
        for model, ids in node.devices().items()
    ]
    cpu = {"CpuShares": node.mhz, "TotalCpuCores": node.cores, "ReservableCpuCores": list(range(node.cores))}
    return {
        "ID": node.id, "Name": node.name, "Datacenter": node.datacenter, "NodeClass": node.node_class,
        "Drain": node.draining, "SchedulingEligibility": "eligible" if node.eligible else "ineligible",
        "Status": node.status, "ModifyIndex": node.modify_index,
        "Drivers": {name: {"Detected": True, "Healthy": True} for name in node.drivers},
        "NodeResources": {"Cpu": cpu, "Memory": {"MemoryMB": node.memory}, "Devices": devices or None},
        "ReservedResources": {"Cpu": {"CpuShares": 0, "ReservedCpuCores": None}, "Memory": {"MemoryMB": 0}},
    }  # fmt: skip


@asynccontextmanager
async def serve_simulator(simulator: Simulator, tls: Tls | None = None) -> AsyncIterator[str]:
    """Serve a simulator while the block runs, and end what it runs; gives its address."""
    (port,) = free_ports(1)
    server = Server(host="127.0.0.1", port=port, tls=tls)
    try:
        async with serve_http(Starlette(routes=_Api(simulator).routes()), server):
            yield f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    finally:
        await simulator.close()
