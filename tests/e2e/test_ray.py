"""Jobs on a real Ray cluster, through the whole stack: a real pilot in each job of Ray's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import monotonic, sleep
from typing import Any

import httpx
import pytest

from tests.support.cluster_site import BACKEND, ClusterSite, cluster_site
from tests.support.ray_cluster import RayCluster


@pytest.fixture(scope="module")
def site(ray_cluster: RayCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterSite]:
    backend = {"kind": "ray", "ray": ray_cluster.settings()}
    with cluster_site(tmp_path_factory.mktemp("ray-site"), backend) as found:
        yield found


def _jobs(cluster: RayCluster) -> list[dict[str, Any]]:
    answer = httpx.get(f"{cluster.url}/api/jobs/", headers={"Authorization": f"Bearer {cluster.token}"})
    return list(answer.raise_for_status().json())


def _until(cluster: RayCluster, holds: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
    """Return the jobs of Ray once it holds of them, or as they are after a while."""
    until = monotonic() + 30
    while not holds(jobs := _jobs(cluster)) and monotonic() < until:
        sleep(0.3)
    return jobs


def _left(cluster: RayCluster) -> list[dict[str, Any]]:
    return _until(cluster, lambda jobs: not jobs)


def test_a_job_runs_there_with_its_files_its_gpu_and_its_logs(site: ClusterSite, ray_cluster: RayCluster) -> None:
    site.put("ray/words", b"one two three\n")
    ended = site.run(
        *("sh", "-c", 'wc -w <words >count; echo "$CUDA_VISIBLE_DEVICES|$RAY_ADDRESS"; echo there >&2'),
        inputs=[{"source": "ray/words"}],
        outputs=[{"path": "count"}],
        resources={"gpus": {"count": 1, "model": "A100"}},
    )
    assert (ended["state"], ended["backend"]) == ("succeeded", BACKEND), ended
    assert site.file(f"jobs/{ended['id']}/outputs/count").strip() == b"3"
    devices, address = site.log(ended).decode().strip().split("|")
    assert devices in {"0", "1", "2", "3"}
    assert address == f"{ray_cluster.network}.2:{ray_cluster.gcs}"
    assert site.log(ended, "stderr") == b"there\n"
    assert ended["usage"]["wall_seconds"] > 0
    assert not _left(ray_cluster)


def test_what_is_cancelled_ends_whether_it_runs_or_waits(site: ClusterSite, ray_cluster: RayCluster) -> None:
    runs = site.submit("sleep", "600")
    blocks = site.submit("sleep", "600", resources={"gpus": {"count": 1, "model": "A100"}})
    for job in (runs, blocks):
        site.until(job, "running")
    waits = site.submit("true", resources={"gpus": {"count": 4, "model": "A100"}})
    assert _until(ray_cluster, lambda jobs: any(job["status"] == "PENDING" for job in jobs))
    for job in (waits, runs, blocks):
        site.cancel(job)
    assert {site.ended(job)["state"] for job in (runs, waits, blocks)} == {"canceled"}
    assert not _left(ray_cluster)
