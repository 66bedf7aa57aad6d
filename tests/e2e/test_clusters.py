"""Jobs on a cluster, through the whole stack: a real pilot in each native job, whose credentials last for seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cluster_site import BACKEND, ClusterSite, cluster_site
from tests.support.fault_stack import await_that
from tests.support.secrecy import check_secrets


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterSite]:
    folder = tmp_path_factory.mktemp("cluster")
    backend = {
        "kind": "processes",
        "processes": {"folder": str(folder / "natives"), "fetches": True},
        "pack": {"most": 8, "cpus": 4, "walltime": 60},
    }
    with cluster_site(folder / "stack", backend, scheduler={"pilots": {"credentials": 2}}) as found:
        yield found


def test_no_secret_of_a_native_job_gets_out(site: ClusterSite) -> None:
    check_secrets(site)


def test_a_job_runs_there(site: ClusterSite) -> None:
    site.put("clusters/words", b"one two three\n")
    ended = site.run(
        *("sh", "-c", "wc -w <words >count; echo here; echo there >&2"),
        inputs=[{"source": "clusters/words"}],
        outputs=[{"path": "count"}],
    )
    assert (ended["state"], ended["backend"]) == ("succeeded", BACKEND), ended
    assert (site.log(ended), site.log(ended, "stderr")) == (b"here\n", b"there\n")
    assert site.file(f"jobs/{ended['id']}/outputs/count").strip() == b"3"
    assert ended["usage"]["wall_seconds"] > 0


def test_credentials_that_end_are_renewed_in_the_middle_of_a_job(site: ClusterSite) -> None:
    script = "i=0; while [ $i -lt 50 ]; do echo $i; i=$((i+1)); sleep 0.1; done"
    ended = site.run("sh", "-c", script, resources={"walltime": "PT5M"})
    assert ended["state"] == "succeeded", ended
    assert site.log(ended) == "".join(f"{number}\n" for number in range(50)).encode()
    logins = site.stack.metrics("scheduler", "shunter_pilot_logins_total")
    assert logins['answer="yes"'] >= 3


def test_small_jobs_share_native_jobs_and_one_of_them_is_canceled(site: ClusterSite) -> None:
    long = site.submit("sleep", "60")
    short = [site.submit("sh", "-c", f"echo {number}; exit {number}") for number in range(6)]
    ends = [site.ended(job) for job in short]
    assert [(end["exit_code"], site.log(end)) for end in ends] == [(n, f"{n}\n".encode()) for n in range(6)]
    site.until(long, "running")
    began = time.monotonic()
    site.cancel(long)
    assert site.ended(long)["state"] == "canceled"
    assert time.monotonic() - began < 10


def test_an_array_runs_there(site: ClusterSite, tmp_path: Path) -> None:
    ended = site.run("sh", "-c", f"echo $SHUNTER_ARRAY_INDEX >{tmp_path}/$SHUNTER_ARRAY_INDEX", array={"count": 9})
    assert (ended["state"], ended["tasks"]["succeeded"]) == ("succeeded", 9), ended
    assert sorted(path.name for path in tmp_path.iterdir()) == [str(number) for number in range(9)]


def test_a_canceled_job_leaves_nothing_there(site: ClusterSite, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    job = site.submit("sh", "-c", f"echo begun; touch {begun}; sleep 60", resources={"walltime": "PT1H"})
    site.until(job, "running")
    await_that(begun.exists, "the program to have begun", 30)
    site.cancel(job)
    ended = site.ended(job)
    assert (ended["state"], site.log(ended)) == ("canceled", b"begun\n")
    natives = site.stack.data.parent / "natives"
    await_that(lambda: not list(natives.iterdir()), "its native job to be gone", 10)


@pytest.mark.parametrize("backend", [BACKEND, "local"])
def test_what_there_is_no_room_for_is_not_brought_home_and_the_job_says_so(site: ClusterSite, backend: str) -> None:
    folder = f"narrow/{backend}"
    site.client.put("/v1/folder-rules", params={"folder": folder}, json={"quota": 100}).raise_for_status()
    ended = site.run(
        *("sh", "-c", "head -c 60 /dev/zero >fits; head -c 9000000 /dev/zero >large; echo done; echo why >&2"),
        outputs=[{"path": "fits", "to": folder}, {"path": "large", "to": folder}],
        placement={"backend": backend},
    )
    assert (ended["state"], ended["reason"], ended["exit_code"]) == ("failed", "staging", 0), ended
    assert ended["message"].startswith(f"quota: outputs/large: the folder {folder}/ may come to 100B"), ended
    assert site.file(f"{folder}/fits") == bytes(60)
    assert site.client.get(f"/v1/files/{folder}/large").status_code == 404
    assert site.client.get("/v1/storage").json()["uploads"]["files"] == 0
    assert ended["tail"] == "done\nwhy\n"
