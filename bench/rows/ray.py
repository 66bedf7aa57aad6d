"""Small jobs on Ray, which share jobs of Ray's, beside the same number of jobs of Ray's own on the same cluster."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from bench.ground import Ground
from bench.peers.ray import RayJobs, median_starts
from bench.table import Figure, Row
from tests.support.cluster_site import BACKEND, cluster_site
from tests.support.ray_cluster import RayCluster, missing_ray

from .jobs import run_jobs

__all__ = ["ROW"]

_PACK = {"most": 100, "cpus": 4, "walltime": 3600, "ahead": 2}


def _measure(ground: Ground) -> list[Figure]:
    if missing_ray():
        ROW.notes.append(missing_ray())
        return []
    with _cluster() as cluster:
        theirs, folder = RayJobs(cluster), ground.folder / "ray-starts"
        folder.mkdir()
        backend = {"kind": "ray", "ray": cluster.settings(), "pack": _PACK}
        with cluster_site(ground.folder / "ray-stack", backend) as site:
            placement = {"placement": {"backend": BACKEND}}
            run_jobs(site.stack, ground.size(20, 4), _body(placement))
            theirs.run(ground.size(8, 2))
            ours = run_jobs(site.stack, ground.size(500, 40), _body(placement))
            plain = theirs.run(ground.size(40, 6))
            starts = ground.size(11, 3)
            ways = (theirs.submit, lambda line: site.submit("sh", "-c", line))
            own, through = median_starts(ways, folder, starts)
    return [
        Figure("done", f"{ours:.1f}/s", f"Ray Jobs {plain:.2f}/s", ours / plain, 3),
        Figure(
            "added from submit to start, median",
            f"{through * 1000:.0f} ms",
            f"Ray Jobs {own * 1000:.0f} ms",
            (through - own) * 1000,
            150,
            unit="ms",
            small_is_good=True,
        ),
    ]


@contextmanager
def _cluster() -> Iterator[RayCluster]:
    cluster = RayCluster.make()
    try:
        cluster.start_head()
        cluster.start_second()
        yield cluster
    finally:
        cluster.close()


def _body(more: Mapping[str, object]) -> bytes:
    return json.dumps({"argv": ["true"], **more}).encode()


ROW = Row("ray", "500 single jobs `true` on Ray, all done", _measure)
