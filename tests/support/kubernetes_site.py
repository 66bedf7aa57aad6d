"""A whole stack with a real Kubernetes of the tests' own: its pods reach us by an address of this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from services.scheduler.backends.engines.kubernetes.kinds import JOBS, PODS, SECRETS
from services.scheduler.backends.engines.kubernetes.names import job_of
from services.scheduler.backends.engines.kubernetes.records import Pod, Record

from .cluster_site import ClusterSite, cluster_site
from .doors import open_doors
from .kubernetes_cluster import KubernetesCluster
from .kubernetes_stand import KubernetesStand, account_on

__all__ = ["KubernetesSite", "kubernetes_site"]

T = TypeVar("T")

_OPTIONS = ("--demo", "--no-restart", "--wait", "300")
"""Two clusters start on one machine."""


@dataclass(frozen=True, slots=True)
class KubernetesSite:
    """A stack, a cluster, and the folder for whoever asks that."""

    site: ClusterSite
    cluster: KubernetesCluster
    folder: Path
    namespace: str

    def asked(self, question: Callable[[KubernetesStand], Awaitable[T]]) -> T:
        """Ask the cluster as an admin, outside of any event loop."""

        async def ask() -> T:
            async with KubernetesStand.admins(self.cluster, self.namespace) as stand:
                return await question(stand)

        return asyncio.run(ask())

    def left(self) -> list[str]:
        """Return what there is of Jobs, pods and secrets of ours."""

        async def look(stand: KubernetesStand) -> list[str]:
            found: list[str] = []
            for kind in (JOBS, PODS, SECRETS):
                items, _ = await stand.admin.list(kind, Record, namespace=self.namespace, labels="shunter/site")
                found += [f"{kind} {item.metadata.name}" for item in items]
            return found

        return self.asked(look)

    def pods(self) -> list[Pod]:
        """Return all pods of Jobs."""

        async def look(stand: KubernetesStand) -> list[Pod]:
            return (await stand.admin.list(PODS, Pod, namespace=self.namespace))[0]

        return [pod for pod in self.asked(look) if job_of(pod.metadata.labels)[0]]

    def evict(self) -> None:
        """Push out every pod."""
        names = {job_of(pod.metadata.labels)[0] for pod in self.pods()}

        async def push(stand: KubernetesStand) -> None:
            for name in names:
                await stand.evict(name)

        self.asked(push)


@contextmanager
def kubernetes_site(
    cluster: KubernetesCluster,
    folder: Path,
    *,
    pack: Mapping[str, object] | None = None,
    beside: Mapping[str, Mapping[str, object]] | None = None,
) -> Iterator[KubernetesSite]:
    """Run a stack beside a cluster; the scheduler has the rights of deploy/kubernetes/rbac.yaml there.

    *pack* is how small jobs share pods there; *beside* are further backends on the same cluster, by name, with what
    their own part says that is not usual.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kubeconfig, namespace = account_on(cluster, folder)
    with open_doors(cluster.node.address, "nats", "s3") as doors:
        given = {
            "kubeconfig": str(kubeconfig),
            "namespace": namespace,
            "image": cluster.image,
            "grace": 5,
            "lost_after": 15,
            "image_patience": 5,
        }
        usual = {"kind": "kubernetes", "nats_url": f"nats://{doors.at('nats')}", **({"pack": pack} if pack else {})}
        others = {name: {**usual, "kubernetes": {**given, **more}} for name, more in (beside or {}).items()}
        backend = {**usual, "kubernetes": given}
        outside = {"SHUNTER_STORAGE__S3__PUBLIC_ENDPOINT": f"http://{doors.at('s3')}"}
        with cluster_site(folder / "stack", backend, *_OPTIONS, others=others, environment=outside) as site:
            for name in ("nats", "s3"):
                port = urlsplit(site.stack.ready["parts"][name]["url"]).port
                assert port is not None
                doors.lead(name, port)
            yield KubernetesSite(site, cluster, folder, namespace)
