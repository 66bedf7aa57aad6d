"""Jobs on a real Slurm, through the whole stack, whose controller and nodes fail under them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from threading import Thread
from time import monotonic, sleep
from typing import Any

import pytest

from tests.support.cluster_site import ClusterSite, cluster_site
from tests.support.slurm_cluster import NODES, SlurmCluster, needs_slurm, run_slurm

pytestmark = [needs_slurm, pytest.mark.timeout(300)]


class Slurm:
    """A cluster in a loop of its own, beside tests that wait in the ordinary way."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._running = run_slurm()
        self.cluster: SlurmCluster = self.do(self._running.__aenter__())

    def do(self, what: Coroutine[Any, Any, Any]) -> Any:
        """Do something with the cluster, and wait for it."""
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(60)

    def call(self, *argv: str) -> str:
        """Call one of Slurm's commands, as an admin does."""
        return str(self.do(self.cluster.call(*argv)))

    def close(self) -> None:
        """End it."""
        self.do(self._running.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    found = Slurm()
    yield found
    found.close()


@pytest.fixture(scope="module")
def site(slurm: Slurm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterSite]:
    settings = slurm.cluster.settings(every=0.5).model_dump(mode="json", exclude_none=True)
    backend = {"kind": "slurm", "slurm": settings}
    with cluster_site(tmp_path_factory.mktemp("slurm"), backend) as found:
        yield found


def _queue(slurm: Slurm) -> str:
    return slurm.call("squeue", "--noheader", "--format=%i %j %T")


def _until_empty(slurm: Slurm) -> None:
    end = monotonic() + 30
    while left := _queue(slurm):
        assert monotonic() < end, left
        sleep(0.2)


def test_a_job_runs_there_with_inputs_outputs_and_logs(site: ClusterSite, slurm: Slurm) -> None:
    site.put("slurm/words", b"one two three\n")
    ended = site.run(
        *("sh", "-c", 'wc -w <words >count; echo "$SLURM_JOB_ID"; echo there >&2'),
        inputs=[{"source": "slurm/words"}],
        outputs=[{"path": "count"}],
    )
    assert ended["state"] == "succeeded", ended
    assert site.log(ended).strip().isdigit()
    assert site.log(ended, "stderr") == b"there\n"
    assert site.file(f"jobs/{ended['id']}/outputs/count").strip() == b"3"
    _until_empty(slurm)


def test_it_gets_gpus_of_the_model_and_processes_on_both_nodes(site: ClusterSite) -> None:
    gpus = site.submit("sh", "-c", 'echo "$CUDA_VISIBLE_DEVICES"', resources={"gpus": {"count": 2, "model": "a100"}})
    wide = site.submit(
        "sh", "-c", "$mpirun sh -c 'echo $SLURMD_NODENAME' | sort", resources={"nodes": 2, "processes": 2}
    )
    assert site.ended(gpus)["state"] == site.ended(wide)["state"] == "succeeded"
    assert site.log(gpus) == b"0,1\n"
    assert site.log(wide) == b"n1\nn2\n"


def test_what_slurm_refuses_fails_in_its_own_words(site: ClusterSite) -> None:
    ended = site.run("true", placement={"backend": "cluster", "options": {"slurm": {"partition": "nope"}}})
    assert ended["state"] == "failed"
    assert "Invalid partition name" in ended["message"]


def test_a_cancel_leaves_nothing(site: ClusterSite, slurm: Slurm) -> None:
    running = site.submit("sleep", "300")
    site.until(running, "running")
    site.cancel(running)
    assert site.ended(running)["state"] == "canceled"
    _until_empty(slurm)


def test_an_admin_ends_one(site: ClusterSite, slurm: Slurm) -> None:
    job = site.submit("sleep", "300")
    site.until(job, "running")
    slurm.call("scancel", _queue(slurm).split()[0])
    ended = site.ended(job)
    assert ended["state"] in {"canceled", "failed", "lost"}, ended
    _until_empty(slurm)


def test_twenty_jobs_outlive_the_crash_of_the_controller_and_of_a_node(site: ClusterSite, slurm: Slurm) -> None:
    """A controller and a node are killed and come back, one is drained: every job ends well."""
    program = ("sh", "-c", "sleep 3; echo done")
    jobs = [site.submit(*program, resources={"cpus": 1}, retries={"max": 2}) for _ in range(20)]
    site.until(jobs[0], "running")
    slurm.do(slurm.cluster.kill("slurmctld"))
    slurm.do(slurm.cluster.start_controller())
    slurm.do(slurm.cluster.kill("n2"))
    slurm.do(slurm.cluster.start_node("n2"))
    slurm.call("scontrol", "update", "nodename=n1", "state=drain", "reason=test")
    slurm.call("scontrol", "update", "nodename=n1", "state=resume")
    ended = [site.ended(job, 120) for job in jobs]
    assert [one["state"] for one in ended] == ["succeeded"] * len(jobs), [one["message"] for one in ended]
    assert [site.log(one) for one in ended] == [b"done\n"] * len(jobs)
    _until_empty(slurm)
    assert NODES[0] in slurm.call("sinfo", "--noheader", "--Node", "--states=idle")
