"""A real Kubernetes of the tests' own: its store, API server, controllers, scheduler, and one node that runs pods.

`make kubernetes` builds it (deploy/engines/kubernetes.sh); where it was not built, what needs it is skipped.
"""

from __future__ import annotations

import os
import shutil
import signal
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from .docker_engine import EngineAbsentError, run_dockerd
from .docker_images import PYTHON
from .kubernetes_node import KubernetesNode
from .kubernetes_pki import Authority
from .servers import free_ports

__all__ = ["KubernetesCluster", "kubernetes_or_skip", "run_kubernetes"]

BINARIES = "SHUNTER_KUBERNETES_BIN"
_BUILT = Path(__file__).parents[2] / ".kubernetes" / "bin"
_PARTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet")
_READY_WITHIN = 60.0
_ADMINS = "system:masters"
GPU_LABELS = {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB", "nvidia.com/gpu.memory": "40960"}


def _binaries() -> Path:
    return Path(os.environ.get(BINARIES, _BUILT))


def _why_not() -> str:
    missing = [name for name in _PARTS if not (_binaries() / name).is_file()]
    if missing:
        return (
            f"no {', '.join(missing)} in {_binaries()} (`make kubernetes` builds them; {BINARIES} says where they are)"
        )
    return "" if shutil.which("unshare") and os.geteuid() == 0 else "only root can run a node here"


@dataclass
class KubernetesCluster:
    """One cluster. Each of its parts can be killed and started again."""

    folder: Path
    authority: Authority
    ports: dict[str, int]
    node: KubernetesNode
    image: str = PYTHON
    """With Python, on the node already."""
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def server(self) -> str:
        """Return where the API server listens."""
        return f"https://127.0.0.1:{self.ports['api']}"

    @property
    def kubeconfig(self) -> Path:
        """Return how an admin reaches it."""
        return self.authority.kubeconfig("admin", self.server)

    def client(self) -> httpx.Client:
        """Return an admin's connection, which its taker closes."""
        context = ssl.create_default_context(cafile=str(self.authority.ca))
        context.load_cert_chain(self.authority.cert_of("admin"), self.authority.key_of("admin"))
        return httpx.Client(base_url=self.server, verify=context, timeout=10, trust_env=False)

    def log(self, name: str) -> str:
        """Return what a part has said so far."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def start(self, name: str) -> None:
        """Start a part, on what it has."""
        argv = {"etcd": self._etcd, "kube-apiserver": self._api, "kube-controller-manager": self._controllers}
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                [str(_binaries() / name), *argv.get(name, self._scheduler)()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=self.folder,
            )

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """End a part."""
        process = self.running.pop(name)
        process.send_signal(number)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def start_api(self) -> None:
        """Start the API server; returns when it answers."""
        self.start("kube-apiserver")
        self.until(self._answers, "the API server to answer")

    def until(self, holds: Any, what: str) -> None:
        """Wait until something holds; a part that ends meanwhile is an error."""
        until = time.monotonic() + _READY_WITHIN
        while not holds():
            ended = [name for name, process in self.running.items() if process.poll() is not None]
            if ended or time.monotonic() > until:
                told = self.log(ended[0])[-800:] if ended else self.node.log[-800:]
                raise EngineAbsentError(f"Kubernetes does not start here, waiting for {what}: {told}")
            time.sleep(0.1)

    def patch_node(self, body: Mapping[str, Any], sub: str = "") -> None:
        """Change the node by a merge."""
        headers = {"Content-Type": "application/merge-patch+json"}
        with self.client() as client:
            client.patch(f"/api/v1/nodes/{self.node.name}{sub}", json=body, headers=headers).raise_for_status()

    def is_ready(self) -> bool:
        """Say whether the node takes pods."""
        with self.client() as client:
            answer = client.get(f"/api/v1/nodes/{self.node.name}")
        found: dict[str, Any] = answer.json()
        if answer.status_code != httpx.codes.OK:
            return False
        ready = {item["type"]: item["status"] for item in found.get("status", {}).get("conditions", [])}
        return ready.get("Ready") == "True" and not found["spec"].get("taints")

    def close(self) -> None:
        """Leave nothing that runs."""
        self.node.stop()
        for name in reversed([*self.running]):
            self.kill(name, signal.SIGTERM)

    def _answers(self) -> bool:
        with suppress(httpx.TransportError), self.client() as client:
            # The store of roles is filled by the server itself, after it has begun to answer.
            return client.get("/readyz").status_code == 200
        return False

    def _etcd(self) -> list[str]:
        own, peer = (f"http://127.0.0.1:{self.ports[name]}" for name in ("etcd", "peer"))
        words = [f"--data-dir={self.folder / 'etcd'}", f"--listen-client-urls={own}", f"--advertise-client-urls={own}"]
        words += [f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}"]
        return [*words, f"--initial-cluster=default={peer}", "--logger=zap", "--log-level=warn"]

    def _api(self) -> list[str]:
        keys = self.authority
        words = [f"--etcd-servers=http://127.0.0.1:{self.ports['etcd']}", f"--secure-port={self.ports['api']}"]
        words += ["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none"]
        words += [f"--tls-cert-file={keys.cert_of('api')}", f"--tls-private-key-file={keys.key_of('api')}"]
        words += [f"--client-ca-file={keys.ca}", "--authorization-mode=Node,RBAC", "--anonymous-auth=false"]
        words += [
            f"--service-account-key-file={keys.folder / 'accounts.pub'}",
            f"--service-account-issuer={self.server}",
        ]
        words += [f"--service-account-signing-key-file={keys.key_of('accounts')}"]
        words += [
            f"--kubelet-client-certificate={keys.cert_of('admin')}",
            f"--kubelet-client-key={keys.key_of('admin')}",
        ]
        words += [f"--cert-dir={self.folder / 'api'}", "--service-cluster-ip-range=10.199.0.0/24"]
        return [*words, "--enable-admission-plugins=NodeRestriction", "--shutdown-delay-duration=0s"]

    def _controllers(self) -> list[str]:
        keys = self.authority
        words = [f"--kubeconfig={keys.kubeconfig('controllers', self.server)}", "--leader-elect=false", "--port=0"]
        words += [f"--service-account-private-key-file={keys.key_of('accounts')}", f"--root-ca-file={keys.ca}"]
        words += ["--use-service-account-credentials=true", f"--secure-port={self.ports['controllers']}"]
        words += [
            "--bind-address=127.0.0.1",
            f"--cert-dir={self.folder / 'controllers'}",
            "--kube-api-qps=500",
            "--kube-api-burst=500",
        ]
        # A node that is silent is told of sooner than usual; this machine may be busy.
        return [*words, "--node-monitor-period=1s", "--node-monitor-grace-period=20s", "--concurrent-gc-syncs=5"]

    def _scheduler(self) -> list[str]:
        words = [f"--kubeconfig={self.authority.kubeconfig('scheduler', self.server)}", "--leader-elect=false"]
        words += ["--port=0", f"--secure-port={self.ports['scheduler']}", "--bind-address=127.0.0.1"]
        return [*words, f"--cert-dir={self.folder / 'scheduler'}", "--kube-api-qps=500", "--kube-api-burst=500"]


@contextmanager
def run_kubernetes(*, gpus: int = 2) -> Iterator[KubernetesCluster]:
    """Run a cluster of one node with so many GPUs that are none."""
    if why := _why_not():
        raise EngineAbsentError(why)
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="shk-", dir="/tmp"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        engine = stack.enter_context(run_dockerd(networks=True))
        names = ("etcd", "peer", "api", "controllers", "scheduler", "kubelet", "health")
        ports = dict(zip(names, free_ports(len(names)), strict=True))
        keys = _issued(folder / "keys", "n1")
        server = f"https://127.0.0.1:{ports['api']}"
        node = KubernetesNode(
            name="n1",
            folder=folder,
            kubelet=_binaries() / "kubelet",
            kubeconfig=keys.kubeconfig("kubelet", server),
            ca=keys.ca,
            certificate=keys.cert_of("kubelet"),
            key=keys.key_of("kubelet"),
            engine=engine,
            port=ports["kubelet"],
            health=ports["health"],
        )
        cluster = KubernetesCluster(folder, keys, ports, node)
        stack.callback(cluster.close)
        _bring_up(cluster, gpus)
        yield cluster


def _issued(folder: Path, node: str) -> Authority:
    keys = Authority.make(folder)
    keys.issue("api", "kube-apiserver", addresses=["127.0.0.1"])
    keys.issue("admin", "admin", _ADMINS)
    keys.issue("controllers", "system:kube-controller-manager")
    keys.issue("scheduler", "system:kube-scheduler")
    keys.issue("kubelet", f"system:node:{node}", "system:nodes", addresses=["127.0.0.1"])
    return keys


def _bring_up(cluster: KubernetesCluster, gpus: int) -> None:
    cluster.start("etcd")
    cluster.start_api()
    cluster.start("kube-controller-manager")
    cluster.start("kube-scheduler")
    cluster.node.prepare()
    cluster.node.start()
    cluster.until(cluster.is_ready, "the node to be ready")
    cluster.patch_node({"metadata": {"labels": GPU_LABELS}})
    cluster.patch_node({"status": {"capacity": {"nvidia.com/gpu": str(gpus)}}}, "/status")


@contextmanager
def kubernetes_or_skip(*, gpus: int = 2) -> Iterator[KubernetesCluster]:
    """Run a cluster for a fixture; its tests are skipped, with the reason, where none can start."""
    with ExitStack() as stack:
        try:
            cluster = stack.enter_context(run_kubernetes(gpus=gpus))
        except EngineAbsentError as error:
            pytest.skip(str(error))
        yield cluster
