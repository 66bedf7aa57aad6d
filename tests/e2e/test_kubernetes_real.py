"""Jobs on a real Kubernetes through the whole stack: real pods, with a network of their own. See `make kubernetes`."""

from __future__ import annotations

from collections.abc import Iterator
from time import sleep

import pytest
from tenacity import retry, stop_after_delay, wait_fixed

from tests.support.cluster_site import BACKEND
from tests.support.kubernetes_cluster import kubernetes_or_skip
from tests.support.kubernetes_site import KubernetesSite, kubernetes_site

pytestmark = pytest.mark.timeout(900)

_PATIENCE = 240.0
"""Seconds: a real node takes its time, and shares this machine with the stack."""

_SWIFT = "swift"
"""The backend whose pods have no volumes."""

_SILENCE = 45.0
"""Seconds: after 20 the cluster takes the node for lost, and after 15 more what ran there."""


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubernetesSite]:
    folder = tmp_path_factory.mktemp("real")
    with (
        kubernetes_or_skip() as cluster,
        kubernetes_site(cluster, folder, beside={_SWIFT: {"volumes": False}}) as found,
    ):
        yield found


@retry(stop=stop_after_delay(_PATIENCE), wait=wait_fixed(0.5), reraise=True)
def _nothing_is_left(real: KubernetesSite) -> None:
    assert real.left() == []


@retry(stop=stop_after_delay(_PATIENCE), wait=wait_fixed(0.5), reraise=True)
def _is_told(real: KubernetesSite, job: str, word: str) -> None:
    said = real.site.client.get(f"/v1/jobs/{job}/explain").text
    assert word in said, said


@pytest.mark.parametrize("backend", [BACKEND, _SWIFT])
def test_a_job_runs_in_a_pod(real: KubernetesSite, backend: str) -> None:
    real.site.put("kubernetes/words", b"one two three\n")
    ended = real.site.run(
        *("sh", "-c", "wc -w <words >count; id -u; echo there >&2"),
        inputs=[{"source": "kubernetes/words"}],
        outputs=[{"path": "count"}],
        placement={"backend": backend},
        seconds=_PATIENCE,
    )
    assert (ended["state"], ended["backend"]) == ("succeeded", backend), ended
    assert (real.site.log(ended), real.site.log(ended, "stderr")) == (b"65532\n", b"there\n")
    assert real.site.file(f"jobs/{ended['id']}/outputs/count").strip() == b"3"
    _nothing_is_left(real)


def test_a_cancel_ends_the_pod(real: KubernetesSite) -> None:
    job = real.site.submit("sleep", "600")
    real.site.until(job, "running", seconds=_PATIENCE)
    real.site.cancel(job)
    assert real.site.ended(job, _PATIENCE)["state"] == "canceled"
    _nothing_is_left(real)


def test_who_is_pushed_out_runs_again(real: KubernetesSite) -> None:
    job = real.site.submit("sh", "-c", "sleep 4; echo done", retries={"max": 1, "backoff": 0.1})
    real.site.until(job, "running", seconds=_PATIENCE)
    real.evict()
    ended = real.site.ended(job, _PATIENCE)
    assert (ended["state"], ended["attempt"]) == ("succeeded", 2), ended
    assert real.site.log(ended) == b"done\n"
    _nothing_is_left(real)


def test_an_image_that_is_not_there_is_told(real: KubernetesSite) -> None:
    ended = real.site.run("true", image="shunter-test/none-such:1", seconds=_PATIENCE)
    assert ended["state"] == "failed", ended
    assert "ImagePull" in str(ended), ended
    _nothing_is_left(real)


def test_two_jobs_with_gpus_run_side_by_side_and_a_third_waits(real: KubernetesSite) -> None:
    asked = {"resources": {"gpus": {"count": 1, "model": "a100"}, "cpus": 0.2}}
    jobs = [real.site.submit("sleep", "600", **asked) for _ in range(2)]
    for job in jobs:
        real.site.until(job, "running", seconds=_PATIENCE)
    # There are two GPUs.
    third = real.site.submit("true", **asked)
    _is_told(real, third, "Insufficient nvidia.com/gpu")
    assert len([pod for pod in real.pods() if pod.status.phase == "Running"]) == 2
    real.site.cancel(jobs[0])
    assert real.site.ended(third, _PATIENCE)["state"] == "succeeded"
    real.site.cancel(jobs[1])
    assert {real.site.ended(job, _PATIENCE)["state"] for job in jobs} == {"canceled"}
    _nothing_is_left(real)


def test_an_api_server_that_is_killed_costs_no_job(real: KubernetesSite) -> None:
    small = {"resources": {"cpus": 0.05, "memory": "64MiB"}}
    jobs = [real.site.submit("sh", "-c", f"sleep {place % 4}; echo {place}", **small) for place in range(20)]
    real.site.until(jobs[0], "running", "finishing", "succeeded", seconds=_PATIENCE)
    real.cluster.kill("kube-apiserver")
    sleep(5)
    real.cluster.start_api()
    ended = [real.site.ended(job, _PATIENCE) for job in jobs]
    assert {(one["state"], one["attempt"]) for one in ended} == {("succeeded", 1)}
    assert [real.site.log(one) for one in ended] == [f"{place}\n".encode() for place in range(20)]
    _nothing_is_left(real)


def test_a_kubelet_that_is_killed_costs_no_job(real: KubernetesSite) -> None:
    job = real.site.submit("sh", "-c", f"sleep {_SILENCE:g}; echo done")
    real.site.until(job, "running", seconds=_PATIENCE)
    real.cluster.node.kill()
    # What runs there goes on, and says so itself; where all nodes are silent nothing is taken away from them.
    ended = real.site.ended(job, _PATIENCE)
    real.cluster.node.start()
    assert (ended["state"], ended["attempt"]) == ("succeeded", 1), ended
    assert real.site.log(ended) == b"done\n"
    _nothing_is_left(real)
