"""Small jobs on a real Kubernetes, which share pods, beside Jobs of a user's own there, and the start of one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from bench.ground import Ground
from bench.peers.kubernetes import BareJobs, median_starts
from bench.table import Figure, Row
from tests.support.cluster_site import BACKEND, ClusterSite
from tests.support.docker_engine import EngineAbsentError
from tests.support.docker_images import COMPILED, make_compiled_image
from tests.support.kubernetes_cluster import KubernetesCluster, run_kubernetes
from tests.support.kubernetes_site import KubernetesSite, kubernetes_site

from .jobs import run_jobs

__all__ = ["ROW"]

_CORES = 2
"""Of the node that is this machine."""
_PACK = {"most": 100, "cpus": _CORES, "walltime": 3600}
_TRUE = json.dumps({"argv": ["true"], "placement": {"backend": BACKEND}}).encode()
_SWIFT = "swift"
"""The backend whose pods have no volumes, and whose image has a compiled library."""


def _measure(ground: Ground) -> list[Figure]:
    try:
        with run_kubernetes() as cluster:
            return _measured(ground, cluster)
    except EngineAbsentError as error:
        ROW.notes.append(str(error))
        return []


def _measured(ground: Ground, cluster: KubernetesCluster) -> list[Figure]:
    with cluster.node.engine.client() as client:
        make_compiled_image(client)
    beside = {_SWIFT: {"volumes": False, "image": COMPILED}}
    folder = ground.folder / "kubernetes"
    with kubernetes_site(cluster, folder, pack=_PACK, beside=beside) as found, _bare(found) as bare:
        ways: list[Callable[[str], str]] = [bare.word]
        ways += [partial(_word, found.site, name) for name in (BACKEND, _SWIFT)]
        for way in ways:
            way("echo warm")
        bare.clear()
        ours = run_jobs(found.site.stack, ground.size(150, 20), _TRUE)
        bare.clear()
        plain = bare.run(ground.size(20, 4), "100m")
        bare.clear()
        own, usual, swift = median_starts(ways, bare.clear, ground.size(11, 3))
    return [
        Figure("done", f"{ours:.1f}/s", f"bare Jobs {plain:.2f}/s", ours / plain, None),
        _added("as it is by default", usual, own),
        _added("no volumes, compiled library", swift, own),
    ]


def _word(site: ClusterSite, backend: str, line: str) -> str:
    return site.log(site.run("sh", "-c", line, seconds=120, placement={"backend": backend})).decode()


def _added(how: str, through: float, own: float) -> Figure:
    beside, added = f"bare Jobs {own * 1000:.0f} ms", (through - own) * 1000
    what = f"submit to start, median; {how}"
    return Figure(what, f"{through * 1000:.0f} ms", beside, added, 150, "ms more", small_is_good=True)


@contextmanager
def _bare(found: KubernetesSite) -> Iterator[BareJobs]:
    bare = BareJobs(found.cluster, found.namespace)
    try:
        yield bare
    finally:
        bare.close()


ROW = Row("kubernetes", "150 single jobs `true` on Kubernetes, all done", _measure)
