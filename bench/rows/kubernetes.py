"""Small jobs on a real Kubernetes, which share pods, beside Jobs of a user's own there, and the start of one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from bench.ground import Ground
from bench.peers.kubernetes import BareJobs, median_starts
from bench.table import Figure, Row
from tests.support.cluster_site import BACKEND
from tests.support.docker_engine import EngineAbsentError
from tests.support.kubernetes_cluster import KubernetesCluster, run_kubernetes
from tests.support.kubernetes_site import KubernetesSite, kubernetes_site

from .jobs import run_jobs

__all__ = ["ROW"]

_CORES = 2
"""Of the node that is this machine."""
_PACK = {"most": 100, "cpus": _CORES, "walltime": 3600}
_TRUE = json.dumps({"argv": ["true"], "placement": {"backend": BACKEND}}).encode()


def _measure(ground: Ground) -> list[Figure]:
    try:
        with run_kubernetes() as cluster:
            return _measured(ground, cluster)
    except EngineAbsentError as error:
        ROW.notes.append(str(error))
        return []


def _measured(ground: Ground, cluster: KubernetesCluster) -> list[Figure]:
    with kubernetes_site(cluster, ground.folder / "kubernetes", pack=_PACK) as found, _bare(found) as bare:
        bare.word("true; echo warm")
        run_jobs(found.site.stack, ground.size(10, 4), _TRUE)
        bare.clear()
        ours = run_jobs(found.site.stack, ground.size(150, 20), _TRUE)
        bare.clear()
        plain = bare.run(ground.size(20, 4), "100m")
        bare.clear()
        ways = (bare.word, lambda line: found.site.log(found.site.run("sh", "-c", line, seconds=120)).decode())
        own, through = median_starts(ways, bare.clear, ground.size(11, 3))
    return [
        Figure("done", f"{ours:.1f}/s", f"bare Jobs {plain:.2f}/s", ours / plain, None),
        Figure(
            "added from submit to start, median",
            f"{through * 1000:.0f} ms",
            f"bare Jobs {own * 1000:.0f} ms",
            (through - own) * 1000,
            150,
            unit="ms",
            small_is_good=True,
        ),
    ]


@contextmanager
def _bare(found: KubernetesSite) -> Iterator[BareJobs]:
    bare = BareJobs(found.cluster, found.namespace)
    try:
        yield bare
    finally:
        bare.close()


ROW = Row("kubernetes", "150 single jobs `true` on Kubernetes, all done", _measure)
