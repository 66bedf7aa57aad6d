"""Jobs on a real Ray cluster, through the whole stack: a real pilot in each job of Ray's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx
import psutil
import pytest

from tests.support.cluster_site import BACKEND, ClusterSite, cluster_site
from tests.support.ray_cluster import RayCluster, missing_ray, shared_ray
from tests.support.secrecy import check_secrets

_PACK = {"most": 4, "cpus": 4, "walltime": 600}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    """A cluster whose nodes may be killed."""
    if missing_ray():
        pytest.skip(missing_ray())
    with shared_ray(tmp_path_factory.getbasetemp(), "ray-to-kill") as found:
        yield found


@pytest.fixture(scope="module")
def site(cluster: RayCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterSite]:
    backend = {"kind": "ray", "ray": cluster.settings(), "pack": _PACK}
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


def _left(cluster: RayCluster) -> list[tuple[str, str, str]]:
    left = _until(cluster, lambda jobs: not jobs)
    return [(job["submission_id"], job["status"], job["message"]) for job in left]


def test_a_job_runs_there_with_its_files_its_gpu_and_its_logs(site: ClusterSite, cluster: RayCluster) -> None:
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
    assert address == f"{cluster.network}.2:{cluster.gcs}"
    assert site.log(ended, "stderr") == b"there\n"
    assert ended["usage"]["wall_seconds"] > 0
    assert not _left(cluster)


def test_what_is_cancelled_ends_whether_it_runs_or_waits(site: ClusterSite, cluster: RayCluster) -> None:
    runs = site.submit("sleep", "600")
    blocks = site.submit("sleep", "600", resources={"gpus": {"count": 1, "model": "A100"}})
    for job in (runs, blocks):
        site.until(job, "running")
    waits = site.submit("true", resources={"gpus": {"count": 4, "model": "A100"}})
    assert _until(cluster, lambda jobs: any(job["status"] == "PENDING" for job in jobs))
    for job in (waits, runs, blocks):
        site.cancel(job)
    assert {site.ended(job)["state"] for job in (runs, waits, blocks)} == {"canceled"}
    assert not _left(cluster)


def test_secrets_are_written_nowhere(site: ClusterSite, cluster: RayCluster) -> None:
    # The token of the cluster is no secret before its jobs: Ray gives it to each, so that it can use the cluster.
    check_secrets(site, logs=cluster.logs)
    assert not _left(cluster)


def _end_well(site: ClusterSite, cluster: RayCluster, flag: Path, kill: Callable[[], None]) -> list[dict[str, Any]]:
    """Run 20 jobs, some side by side in jobs of Ray's, and kill something when all run; returns their records."""
    argv = ["sh", "-c", f"while ! test -e {flag}; do sleep 0.5; done; echo done"]
    spec = {"argv": argv, "resources": {"cpus": 0.25, "walltime": 300}, "placement": {"backend": BACKEND}}
    answer = site.client.post("/v1/batches", json={"jobs": [{"key": f"k{n}", **spec} for n in range(20)]})
    jobs = [job["job_id"] for job in answer.raise_for_status().json()["jobs"]]
    for job in jobs:
        site.until(job, "running")
    doomed = [process for process in _programs(flag) if cluster.is_below("second", process)]
    assert doomed
    kill()
    assert not psutil.wait_procs(doomed, timeout=30)[1]
    flag.touch()
    ended = [site.ended(job, seconds=90) for job in jobs]
    assert {one["state"] for one in ended} == {"succeeded"}
    assert {site.log(one) for one in ended} == {b"done\n"}
    assert not _left(cluster)
    assert not _programs(flag)
    return ended


def _programs(flag: Path) -> list[psutil.Process]:
    return [process for process in psutil.process_iter(["cmdline"]) if str(flag) in str(process.info["cmdline"])]


def test_a_node_is_killed_under_20_jobs(site: ClusterSite, cluster: RayCluster, tmp_path: Path) -> None:
    ended = _end_well(site, cluster, tmp_path / "flag", lambda: cluster.kill("second"))
    assert {one["attempt"] for one in ended} == {1, 2}


def test_the_head_is_killed_and_started_anew_under_20_jobs(
    site: ClusterSite, cluster: RayCluster, tmp_path: Path
) -> None:
    def kill() -> None:
        cluster.kill("head")
        cluster.start_head()

    cluster.start_second()
    ended = _end_well(site, cluster, tmp_path / "flag", kill)
    assert {one["attempt"] for one in ended} == {2}
