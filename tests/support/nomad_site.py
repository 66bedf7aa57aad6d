"""A Nomad cluster for tests: the simulator, or a real one that the environment names. Both through Nomad's API."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue
from typing import Any
from uuid import uuid4

import httpx

from services.scheduler.backends.engines.base import EngineMeans, Launch, Native, NativeState, Order, Seen
from services.scheduler.backends.engines.nomad.engine import NomadEngine
from services.scheduler.backends.engines.nomad.settings import NomadSettings
from tests.support.engine_stand import EngineStand
from tests.support.nomad_sim.acl import Policy
from tests.support.nomad_sim.app import serve_simulator
from tests.support.nomad_sim.simulator import Simulator
from tests.support.nomad_sim.store import SimNode

__all__ = ["ADDRESS", "POLICY", "NomadBackend", "NomadSite", "backend_of_nomad", "open_real", "open_simulated", "order"]

ADDRESS = os.environ.get("SHUNTER_TEST_NOMAD_ADDR", "")
"""Of a real server, if there is one."""
TOKEN = os.environ.get("SHUNTER_TEST_NOMAD_TOKEN", "")
POLICY = Path(__file__).parents[2] / "deploy" / "nomad" / "policy.hcl"
_OPERATOR = "operator-secret-of-the-simulator"
_OURS = "engine-secret-of-the-simulator"


@dataclass
class NomadSite:
    """A cluster, an engine that works on it, and an operator of it who uses the API alone."""

    engine: NomadEngine
    operator: httpx.AsyncClient
    site: str
    means: EngineMeans
    simulator: Simulator | None = None
    started: list[Native] = field(default_factory=list)

    def order(self, script: str, **wishes: Any) -> Order:
        """Return an order of a name of its own that runs *script*."""
        return order(f"{self.site}-{uuid4().hex[:8]}", script, **wishes)

    @asynccontextmanager
    async def other(self, **changes: Any) -> AsyncIterator[NomadEngine]:
        """Use another engine on the same cluster, with other settings."""
        engine = NomadEngine(self.engine.settings.model_copy(update=changes), self.means)
        try:
            yield engine
        finally:
            await engine.close()

    def stand(self) -> EngineStand:
        """Return it for the contract of engines. What is larger than a node waits; several nodes are refused."""
        return EngineStand(lambda means: NomadEngine(self.engine.settings, means), too_large={"nodes": 2})

    @asynccontextmanager
    async def counting(self) -> AsyncIterator[list[str]]:
        """List what the engine asks meanwhile."""
        calls: list[str] = []

        async def note(request: httpx.Request) -> None:
            calls.append(f"{request.method} {request.url.path}")

        hooks = self.engine._api._client.event_hooks
        hooks["request"].append(note)
        try:
            yield calls
        finally:
            hooks["request"].remove(note)

    async def start(self, wanted: Order, engine: NomadEngine | None = None) -> Native:
        """Start one order that is taken."""
        (started,) = await (engine or self.engine).start([wanted])
        assert started.error is None, started.error
        native = Native(wanted.name, started.native_id)
        self.started.append(native)
        return native

    async def until(self, native: Native, is_so: Callable[[Seen], bool], *, within: float = 30.0) -> Seen:
        """Wait until a native job stands so."""
        seen: Seen | None = None
        async with asyncio.timeout(within):
            while seen is None or not is_so(seen):
                seen = (await self.engine.look([native])).get(native.name, seen)
                await asyncio.sleep(0.05)
        return seen

    async def ended(self, native: Native) -> Seen:
        """Wait until it has ended."""
        return await self.until(native, lambda seen: seen.state is NativeState.ENDED)

    async def gone(self, native: Native, *, within: float = 30.0) -> None:
        """Wait until the cluster has forgotten it."""
        async with asyncio.timeout(within):
            while True:
                if native.name not in await self.engine.look([native]):
                    return
                await asyncio.sleep(0.05)

    async def running(self, native: Native) -> Seen:
        """Wait until it runs."""
        return await self.until(native, lambda seen: seen.state is NativeState.RUNNING)

    async def ask(self, method: str, path: str, body: Any = None, **params: str) -> Any:
        """Have the operator call the API."""
        response = await self.operator.request(method, path, json=body, params=params)
        response.raise_for_status()
        return response.json() if response.content else None

    async def nodes(self) -> list[dict[str, Any]]:
        """Return the nodes that take work."""
        found: list[dict[str, Any]] = await self.ask("GET", "/v1/nodes", resources="true")
        return [node for node in found if node["Status"] == "ready" and node["SchedulingEligibility"] == "eligible"]


@dataclass(frozen=True, slots=True)
class NomadBackend:
    """A cluster for a whole stack: what the settings of a site say of it, and somebody who operates it."""

    backend: dict[str, Any]
    secret: str
    """The token in the file that the settings name, if there is one."""
    operator: httpx.Client

    def node_of(self, job: str) -> str:
        """Return where the native job of a job runs."""
        found = self.operator.get("/v1/allocations", params={"namespace": "*"}).raise_for_status().json()
        named = [each for each in found if job.partition("-")[2] in each["JobID"]]
        (node,) = [str(each["NodeName"]) for each in named if each["ClientStatus"] == "running"]
        return node

    def drain(self, node: str) -> None:
        """Have everything leave a node at once."""
        self._ask(node, {"DrainSpec": {"Deadline": -1}})

    def open(self, node: str) -> None:
        """Let work in again."""
        self._ask(node, {"DrainSpec": None, "MarkEligible": True})

    def _ask(self, name: str, body: Any) -> None:
        nodes = self.operator.get("/v1/nodes").raise_for_status().json()
        (node,) = [each["ID"] for each in nodes if each["Name"] == name]
        self.operator.post(f"/v1/node/{node}/drain", json=body).raise_for_status()


@contextmanager
def backend_of_nomad(folder: Path) -> Iterator[NomadBackend]:
    """Give the real cluster, or a simulator in a thread of its own."""
    if ADDRESS:
        (folder / "token").write_text(TOKEN)
        token = folder / "token" if TOKEN else None
        settings = NomadSettings(address=ADDRESS, token_file=token, driver=_driver())
        with _operated(settings, TOKEN, TOKEN) as found:
            yield found
        return
    ready: Queue[NomadSettings] = Queue()
    done = threading.Event()

    async def serve() -> None:
        async with open_simulated(folder) as site:
            ready.put(site.engine.settings)
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=asyncio.run, args=[serve()])
    thread.start()
    try:
        with _operated(ready.get(timeout=30), _OURS, _OPERATOR) as found:
            yield found
    finally:
        done.set()
        thread.join()


@contextmanager
def _operated(settings: NomadSettings, ours: str, operator: str) -> Iterator[NomadBackend]:
    backend = {"kind": "nomad", "nomad": settings.model_dump(mode="json")}
    headers = {"X-Nomad-Token": operator}
    with httpx.Client(base_url=settings.address, headers=headers, trust_env=False) as client:
        yield NomadBackend(backend, ours, client)


def _driver() -> str:
    found = httpx.get(f"{ADDRESS}/v1/nodes", headers={"X-Nomad-Token": TOKEN}).raise_for_status().json()
    drivers = {name for node in found for name, said in node["Drivers"].items() if said["Healthy"]}
    return "raw_exec" if "raw_exec" in drivers else "exec"


def order(name: str, script: str, **wishes: Any) -> Order:
    """Return an order for a tenth of a CPU and 64 MiB."""
    env = {"SHUNTER_PILOT_NAME": name, "SHUNTER_PILOT_TOKEN": "token-of-" + name, **wishes.pop("env", {})}
    given: dict[str, Any] = {"cpus": 0.1, "memory": 64 * 2**20, "gpus": 0, "walltime": 60.0, "project": None} | wishes
    return Order(name=name, owner="user:ann", title="a test", launch=Launch(script, env, Path("pilot.pyz")), **given)


@asynccontextmanager
async def open_simulated(folder: Path, *nodes: SimNode) -> AsyncIterator[NomadSite]:
    """Run the simulator, with the rights of the policy that we ship and no more."""
    simulator = Simulator(folder / "nomad", nodes or _two_nodes())
    simulator.acl.tokens = {_OPERATOR: Policy(management=True), _OURS: Policy.parse(POLICY.read_text())}
    (folder / "token").write_text(_OURS + "\n")
    async with serve_simulator(simulator) as address:
        settings = NomadSettings(address=address, token_file=folder / "token", driver="raw_exec", mhz=1000)
        async with _open(settings, _OPERATOR, folder) as site:
            site.simulator = simulator
            yield site


def _two_nodes() -> list[SimNode]:
    return [
        SimNode("n1", mhz=4000, memory=4096, gpus=("Tesla T4", "Tesla T4"), meta={"gpu": "T4"}, node_class="gpu"),
        SimNode("n2", mhz=4000, memory=2048),
    ]


@asynccontextmanager
async def open_real(folder: Path) -> AsyncIterator[NomadSite]:
    """Use the server that the environment names; its token must be one of an operator."""
    (folder / "token").write_text(TOKEN)
    token = folder / "token" if TOKEN else None
    settings = NomadSettings(address=ADDRESS, token_file=token, mhz=1000, driver=await asyncio.to_thread(_driver))
    async with _open(settings, TOKEN, folder) as site:
        devices = [device for node in await site.nodes() for device in node["NodeResources"]["Devices"] or []]
        for device in devices:
            if device["Type"] == "gpu":
                site.engine.settings.gpu_device = f"{device['Vendor']}/gpu"
        yield site


@asynccontextmanager
async def _open(settings: NomadSettings, token: str, folder: Path) -> AsyncIterator[NomadSite]:
    site = f"t{uuid4().hex[:6]}"
    means = EngineMeans(backend="nomad", site=site, data=folder)
    engine = NomadEngine(settings, means)
    async with httpx.AsyncClient(
        base_url=settings.address, headers={"X-Nomad-Token": token}, trust_env=False
    ) as operator:
        found = NomadSite(engine, operator, site, means)
        await engine.open()
        try:
            yield found
        finally:
            await engine.remove(found.started)
            await engine.close()
