"""Jobs on Kubernetes through the whole stack: the real pilot runs in the pods of a simulated cluster."""

from __future__ import annotations

from collections.abc import Iterator
from time import sleep

import pytest
from tenacity import retry, stop_after_delay, wait_fixed

from tests.support.cluster_site import BACKEND, ClusterSite, cluster_site
from tests.support.kubernetes_sim.beside import simulator_beside
from tests.support.kubernetes_sim.simulator import Simulator
from tests.support.secrecy import check_secrets


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with simulator_beside(tmp_path_factory.mktemp("cluster")) as found:
        yield found


@pytest.fixture(scope="module")
def site(cluster: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterSite]:
    backend = {"kind": "kubernetes", "kubernetes": {"kubeconfig": str(cluster.kubeconfig), "grace": 5}}
    with cluster_site(tmp_path_factory.mktemp("stack"), backend) as found:
        yield found


@retry(stop=stop_after_delay(20), wait=wait_fixed(0.2), reraise=True)
def _nothing_is_left(cluster: Simulator) -> None:
    left = [plural for plural, _, _ in list(cluster.store.objects) if plural in {"jobs", "pods", "secrets"}]
    assert left == []


def test_a_job_runs_in_a_pod(site: ClusterSite, cluster: Simulator) -> None:
    site.put("kubernetes/words", b"one two three\n")
    ended = site.run(
        *("sh", "-c", "wc -w <words >count; echo here; echo there >&2"),
        inputs=[{"source": "kubernetes/words"}],
        outputs=[{"path": "count"}],
    )
    assert (ended["state"], ended["backend"]) == ("succeeded", BACKEND), ended
    assert (site.log(ended), site.log(ended, "stderr")) == (b"here\n", b"there\n")
    assert site.file(f"jobs/{ended['id']}/outputs/count").strip() == b"3"
    _nothing_is_left(cluster)


def test_no_secret_of_a_pod_or_of_ours_gets_out(site: ClusterSite, cluster: Simulator) -> None:
    (ours,) = cluster.api.tokens
    check_secrets(site, ours)
    _nothing_is_left(cluster)


def test_the_tasks_of_an_array_share_jobs(site: ClusterSite, cluster: Simulator) -> None:
    before = cluster.api.asked.count("create jobs")
    argv = ("sh", "-c", "echo task $0 >number-$0", "{index}")
    job = site.submit(*argv, array={"count": 12}, outputs=[{"path": "number-{index}"}])
    ended = site.ended(job)
    assert (ended["state"], ended["tasks"]["succeeded"]) == ("succeeded", 12), ended
    assert [site.file(f"jobs/{job}/outputs/number-{index}") for index in (0, 11)] == [b"task 0\n", b"task 11\n"]
    # What waits at the same time goes together; the first may have gone before the others came.
    assert cluster.api.asked.count("create jobs") - before < 12
    _nothing_is_left(cluster)


def test_a_cancel_ends_the_pod(site: ClusterSite, cluster: Simulator) -> None:
    job = site.submit("sleep", "600")
    site.until(job, "running")
    site.cancel(job)
    assert site.ended(job)["state"] == "canceled"
    _nothing_is_left(cluster)


def test_who_is_pushed_out_runs_again(site: ClusterSite, cluster: Simulator) -> None:
    job = site.submit("sh", "-c", "sleep 3; echo done", retries={"max": 1, "backoff": 0.1})
    site.until(job, "running")
    (native,) = [name for plural, _, name in list(cluster.store.objects) if plural == "jobs"]
    cluster.strike(native, "Evicted")
    ended = site.ended(job)
    assert (ended["state"], ended["attempt"]) == ("succeeded", 2), ended
    assert site.log(ended) == b"done\n"
    _nothing_is_left(cluster)


def test_an_image_that_is_not_there_is_told(site: ClusterSite, cluster: Simulator) -> None:
    ended = site.run("true", image="Not An Image")
    assert ended["state"] == "failed", ended
    assert "InvalidImageName" in str(ended), ended
    _nothing_is_left(cluster)


def test_a_cluster_that_is_away_for_a_while_costs_no_job(site: ClusterSite, cluster: Simulator) -> None:
    jobs = [site.submit("sh", "-c", f"sleep {second}; echo {second}") for second in (0, 1, 2, 3) * 3]
    site.until(jobs[0], "running", "finishing", "succeeded")
    cluster.api.faults.append((503, "", 10**6))
    jobs += [site.submit("true") for _ in range(8)]
    sleep(4)
    cluster.api.faults.clear()
    ended = [site.ended(job) for job in jobs]
    assert {(one["state"], one["attempt"]) for one in ended} == {("succeeded", 1)}
    _nothing_is_left(cluster)
