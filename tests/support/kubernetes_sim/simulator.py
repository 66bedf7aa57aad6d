"""A Kubernetes cluster in this process: an API server on loopback, controllers, nodes that run what they are given."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from aiohttp import web

from .api import Api
from .controllers import Controllers, disrupt, set_condition
from .kubelet import Kubelet
from .rights import Rights
from .store import Obj, Store

__all__ = ["ADMIN", "IMAGE", "Simulator", "run_simulator"]

ADMIN = "token-of-an-admin"
"""Whose every request is granted."""

IMAGE = "docker.io/library/python:3.12-slim"
_STEP = 0.02


@dataclass(slots=True)
class Simulator:
    """What a test does to the cluster."""

    store: Store
    api: Api
    kubelet: Kubelet
    kubeconfig: Path
    rights: Rights
    images: set[str] = field(default_factory=set)

    def log_in(self, token: str) -> None:
        """Have this token be the only one that is good, and write it where its owner finds it."""
        self.api.tokens.clear()
        self.api.tokens.add(token)
        self.write_kubeconfig(self.kubeconfig.name, token)

    def write_kubeconfig(self, name: str, token: str) -> Path:
        """Write how somebody reaches it, and return where."""
        path = self.kubeconfig.with_name(name)
        _write_kubeconfig(path, _server(self.kubeconfig), token)
        return path

    def pods_of(self, job: str) -> list[Obj]:
        """Return the pods of a Job."""
        return [pod for pod in self.store.of("pods") if pod["metadata"]["labels"].get("job-name") == job]

    def evict(self, job: str, reason: str = "EvictionByEvictionAPI") -> None:
        """Push the pods of a Job out."""
        for pod in self.pods_of(job):
            disrupt(self.store, pod, reason, "Eviction API: evicting")

    def strike(self, job: str, reason: str) -> None:
        """Have the node of a Job's pods end them: `OOMKilled`, `Evicted`."""
        for pod in self.pods_of(job):
            self.kubelet.to_kill[pod["metadata"]["uid"]] = reason

    def lose_node(self, name: str) -> None:
        """Have a node die."""
        self.kubelet.dead.add(name)
        node = self.store.get("nodes", "", name)
        assert node is not None
        taint = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}
        node["spec"].setdefault("taints", []).append(taint)
        set_condition(node, "Ready", "Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.")
        self.store.touch("nodes", node)

    def delete(self, plural: str, namespace: str, name: str) -> None:
        """Delete an object, as an admin does."""
        found = self.store.get(plural, namespace, name)
        assert found is not None
        if plural == "pods":
            found["metadata"].setdefault("finalizers", []).append("sim/node")
        self.store.delete(plural, found)


def _node(name: str, gpus: int, labels: dict[str, str]) -> Obj:
    allocatable = {"cpu": "8", "memory": "16Gi", "pods": "110"} | ({"nvidia.com/gpu": str(gpus)} if gpus else {})
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {},
        "status": {"allocatable": allocatable, "conditions": [{"type": "Ready", "status": "True"}]},
    }


@asynccontextmanager
async def run_simulator(
    folder: Path,
    *,
    rights: Rights | None = None,
    namespaces: tuple[str, ...] = ("default", "shunter"),
    minor: int = 36,
) -> AsyncIterator[Simulator]:
    """Run a cluster of two nodes, one with two GPUs, of the release `1.minor`."""
    store = Store(minor)
    given = rights or Rights()
    api = Api(store, given, {"first-token"}, ADMIN)
    images = {IMAGE}
    kubelet = Kubelet(store, folder / "pods", images)
    store.add("nodes", _node("n1", 0, {}))
    labels = {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB", "nvidia.com/gpu.memory": "40960"}
    store.add("nodes", _node("n2", 2, labels))
    for name in namespaces:
        store.add("namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    app = web.Application(client_max_size=4 * 2**20)
    app.router.add_route("*", "/{path:.*}", api.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    kubeconfig = folder / "kubeconfig"
    _write_kubeconfig(kubeconfig, f"http://127.0.0.1:{runner.addresses[0][1]}", "first-token")
    going = asyncio.create_task(_go_round(store, Controllers(store).step, kubelet.step))
    try:
        yield Simulator(store, api, kubelet, kubeconfig, given, images)
    finally:
        going.cancel()
        await kubelet.close()
        await runner.cleanup()
        # An error of the simulator itself ends the test.
        with suppress(asyncio.CancelledError):
            await going


async def _go_round(store: Store, *steps: Callable[[], None]) -> None:
    while True:
        for step in steps:
            step()
        await asyncio.sleep(_STEP)


def _server(kubeconfig: Path) -> str:
    server: str = yaml.safe_load(kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
    return server


def _write_kubeconfig(path: Path, server: str, token: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "sim",
        "clusters": [{"name": "sim", "cluster": {"server": server}}],
        "users": [{"name": "shunter", "user": {"token": token}}],
        "contexts": [{"name": "sim", "context": {"cluster": "sim", "user": "shunter", "namespace": "shunter"}}],
    }
    path.write_text(yaml.safe_dump(content))
