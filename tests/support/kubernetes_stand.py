"""A Kubernetes cluster for tests: the simulated one, or a real one that `SHUNTER_TEST_KUBECONFIG` names."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from services.scheduler.backends.engines.kubernetes.cluster import Cluster
from services.scheduler.backends.engines.kubernetes.engine import KubernetesEngine
from services.scheduler.backends.engines.kubernetes.kinds import PODS, QUOTAS, SECRETS, Kind
from services.scheduler.backends.engines.kubernetes.names import job_of
from services.scheduler.backends.engines.kubernetes.records import Pod, Record
from services.scheduler.backends.engines.kubernetes.settings import KubernetesSettings
from tests.support.engine_stand import EngineStand
from tests.support.kubernetes_account import close_account, open_account
from tests.support.kubernetes_cluster import KubernetesCluster, kubernetes_or_skip
from tests.support.kubernetes_sim.rights import Rights
from tests.support.kubernetes_sim.simulator import ADMIN, IMAGE, Simulator, run_simulator

__all__ = ["RBAC", "KubernetesStand", "account_on", "real_cluster", "simulated_cluster"]

KUBECONFIG = "SHUNTER_TEST_KUBECONFIG"
TEST_IMAGE = "SHUNTER_TEST_KUBERNETES_IMAGE"
_EVICTION = 22
"""The release whose evictions have their last form."""
RBAC = Path(__file__).parents[2] / "deploy" / "kubernetes" / "rbac.yaml"


@dataclass
class KubernetesStand:
    """A cluster, with what an admin does to it."""

    kubeconfig: Path
    namespace: str
    image: str
    admin: Cluster
    simulator: Simulator | None = None
    cluster: KubernetesCluster | None = None
    """With a real one of the tests' own."""

    @classmethod
    @asynccontextmanager
    async def admins(cls, cluster: KubernetesCluster, namespace: str) -> AsyncIterator[KubernetesStand]:
        """Have an admin look at a namespace of a cluster of the tests' own."""
        admin = Cluster(KubernetesSettings(kubeconfig=cluster.kubeconfig))
        try:
            yield cls(cluster.kubeconfig, namespace, cluster.image, admin, cluster=cluster)
        finally:
            await admin.close()

    def wanted(self, **more: Any) -> KubernetesSettings:
        """Return settings that lead to it, with short patience."""
        usual: dict[str, Any] = {
            "kubeconfig": self.kubeconfig,
            "namespace": self.namespace,
            "image": self.image,
            "grace": 2,
            "pull": 0 if self.simulator else 60,
            "room_every": 0.1,
            "again": 0.3,
        }
        return KubernetesSettings.model_validate({**usual, **more})

    def stand(self, **more: Any) -> EngineStand:
        """Return it for the contract of engines."""
        return EngineStand(
            lambda means: _hasty(KubernetesEngine(self.wanted(**more), means)),
            patience=20.0 if self.simulator else 120.0,
            too_large={"gpus": 1, "gpu_model": "no such model"},
        )

    async def pods(self, job: str) -> list[Pod]:
        """Return the pods of a Job."""
        found, _ = await self.admin.list(PODS, Pod, namespace=self.namespace)
        return [pod for pod in found if job_of(pod.metadata.labels)[0] == job]

    async def secrets(self) -> list[str]:
        """Return the names of all secrets."""
        found, _ = await self.admin.list(SECRETS, Record, namespace=self.namespace)
        return [item.metadata.name for item in found]

    async def delete(self, kind: Kind, name: str) -> None:
        """Delete an object, as somebody does who does not ask us."""
        await self.admin.delete(kind, self.namespace, name, propagationPolicy="Background")

    async def evict(self, job: str) -> None:
        """Push the pods of a Job out, as a drain does."""
        for pod in await self.pods(job):
            meta = {"name": pod.metadata.name, "namespace": self.namespace}
            version = "policy/v1" if (await self.admin.release()).minor >= _EVICTION else "policy/v1beta1"
            eviction = {"apiVersion": version, "kind": "Eviction", "metadata": meta}
            place = Kind(f"pods/{pod.metadata.name}/eviction")
            await self.admin.create(place, self.namespace, eviction, Record)

    async def limit(self, **hard: str) -> str:
        """Set a quota, and return its name."""
        name = f"quota-{uuid4().hex[:6]}"
        meta = {"name": name, "namespace": self.namespace}
        spec = {"hard": {key.replace("_", "."): value for key, value in hard.items()}}
        quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": meta, "spec": spec}
        await self.admin.create(QUOTAS, self.namespace, quota, Record)
        return name


def _hasty(engine: KubernetesEngine) -> KubernetesEngine:
    engine.looks_every = 0.05
    return engine


async def simulated_cluster(
    stack: AsyncExitStack, folder: Path, rights: Path = RBAC, minor: int = 36
) -> KubernetesStand:
    """Return a simulated cluster of the release `1.minor`, on which we have the rights of a manifest."""
    given = Rights.read(rights)
    simulator = await stack.enter_async_context(run_simulator(folder, rights=given, minor=minor))
    admin = Cluster(KubernetesSettings(kubeconfig=simulator.write_kubeconfig("admin", ADMIN), page=2))
    stack.push_async_callback(admin.close)
    return KubernetesStand(simulator.kubeconfig, "shunter", IMAGE, admin, simulator)


async def real_cluster(stack: AsyncExitStack, folder: Path, rights: Path = RBAC) -> KubernetesStand:
    """Return the real cluster, where we are a service account with the rights of a manifest, in a namespace of its own.

    It is the one that an admin's kubeconfig leads to, or one of the tests' own; skipped where there is neither.
    """
    named, image = os.environ.get(KUBECONFIG), os.environ.get(TEST_IMAGE, IMAGE)
    node = None
    if named:
        kubeconfig = Path(named)
    else:
        own = stack.enter_context(kubernetes_or_skip())
        kubeconfig, image, node = own.kubeconfig, own.image, own
    namespace = f"shunter-test-{uuid4().hex[:6]}"
    admin = Cluster(KubernetesSettings(kubeconfig=kubeconfig))
    stack.push_async_callback(admin.close)
    stack.push_async_callback(close_account, admin, rights, namespace)
    account = await open_account(admin, kubeconfig, rights, namespace, folder)
    return KubernetesStand(account, namespace, image, admin, cluster=node)


def account_on(cluster: KubernetesCluster, folder: Path, rights: Path = RBAC) -> tuple[Path, str]:
    """Return the kubeconfig of a service account with the rights of a manifest, and its namespace.

    For who is outside of any event loop; both go with the cluster.
    """
    namespace = f"shunter-test-{uuid4().hex[:6]}"

    async def make() -> Path:
        async with KubernetesStand.admins(cluster, namespace) as stand:
            return await open_account(stand.admin, cluster.kubeconfig, rights, namespace, folder)

    return asyncio.run(make()), namespace
