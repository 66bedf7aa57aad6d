"""Jobs on a real Slurm, through the whole stack, whose controller and nodes fail under them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.cluster_site import ClusterSite, cluster_site
from tests.support.secrecy import check_secrets, pilot_secrets
from tests.support.slurm_beside import SlurmBeside, slurm_beside
from tests.support.slurm_cluster import NODES, needs_slurm

pytestmark = [needs_slurm, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def slurm() -> Iterator[SlurmBeside]:
    with slurm_beside() as found:
        yield found


@pytest.fixture(scope="module")
def site(slurm: SlurmBeside, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterSite]:
    with cluster_site(tmp_path_factory.mktemp("slurm"), slurm.backend()) as found:
        yield found


def test_a_job_runs_there_with_inputs_outputs_and_logs(site: ClusterSite, slurm: SlurmBeside) -> None:
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
    slurm.until_empty()


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


def test_a_cancel_leaves_nothing(site: ClusterSite, slurm: SlurmBeside) -> None:
    running = site.submit("sleep", "300")
    site.until(running, "running")
    site.cancel(running)
    assert site.ended(running)["state"] == "canceled"
    slurm.until_empty()


def test_what_an_admin_ends_is_canceled_and_not_begun_again(site: ClusterSite, slurm: SlurmBeside) -> None:
    job = site.submit("sh", "-c", "echo before; sleep 300")
    site.until(job, "running")
    slurm.call("scancel", slurm.queue().split()[0])
    ended = site.ended(job)
    assert (ended["state"], ended["attempt"], site.log(ended)) == ("canceled", 1, b"before\n"), ended
    slurm.until_empty()


def test_no_secret_gets_out(site: ClusterSite, slurm: SlurmBeside) -> None:
    """Nor to what Slurm keeps for everybody to see, or writes into its logs."""
    check_secrets(site)
    job = site.submit("sleep", "300")
    site.until(job, "running")
    tokens = pilot_secrets(site)
    shown = slurm.call("scontrol", "show", "job", "-dd") + slurm.call("squeue", "--format=%all")
    site.cancel(job)
    site.ended(job)
    logs = "".join(path.read_text(errors="replace") for path in slurm.cluster.folder.glob("*.log"))
    output = "".join(path.read_text(errors="replace") for path in slurm.cluster.work.rglob("*.log"))
    assert tokens
    assert not [token for token in tokens if token in shown + logs + output]
    slurm.until_empty()


def test_twenty_jobs_outlive_the_crash_of_the_controller_and_of_a_node(site: ClusterSite, slurm: SlurmBeside) -> None:
    """A controller and a node are killed and come back, one is drained: every job ends well."""
    program = ("sh", "-c", "sleep 3; echo done")
    jobs = [site.submit(*program, resources={"cpus": 1}, retries={"max": 2}) for _ in range(20)]
    site.until(jobs[0], "running", "succeeded")  # on a slow machine it has ended before the last one is submitted
    slurm.call("scontrol", "update", "nodename=n1", "state=drain", "reason=test")
    slurm.call("scontrol", "update", "nodename=n1", "state=resume")
    slurm.do(slurm.cluster.kill("slurmctld"))
    slurm.do(slurm.cluster.start_controller())
    slurm.do(slurm.cluster.kill("n2"))
    slurm.do(slurm.cluster.start_node("n2"))
    ended = [site.ended(job, 120) for job in jobs]
    bad = [site.client.get(f"/v1/jobs/{one['id']}/history").json() for one in ended if one["state"] != "succeeded"]
    assert not bad, f"{bad}\n{(slurm.cluster.folder / 'slurmctld.log').read_text()}"
    assert [site.log(one) for one in ended] == [b"done\n"] * len(jobs)
    slurm.until_empty()
    assert NODES[0] in slurm.call("sinfo", "--noheader", "--Node", "--states=idle")
