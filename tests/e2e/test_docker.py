"""Jobs in containers of a real engine, through the whole stack: a real pilot in each."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.support.cluster_site import BACKEND, ClusterSite, cluster_site
from tests.support.docker_engine import Dockerd, dockerd_or_skip, needs_docker
from tests.support.docker_images import BUSYBOX, PYTHON
from tests.support.secrecy import check_secrets

pytestmark = needs_docker

_ENDED = ("succeeded", "failed", "canceled", "lost")

_APPLICATION = f"""\
small:
  v1:
    run:
      app: {{cmd: ["mkdir /files/model && cat /files/data/* >/files/model/all && wc -c </files/model/all"], env: []}}
      handler: {{image_url: "{PYTHON}", files_down: {{data_ids: data}}, files_up: {{artifact: model}}}}
      aws_resources: {{hardware: {{MEMORY: 256, VCPU: 1, GPU: 0}}, timeout: 60}}
"""


@pytest.fixture(scope="module")
def engine() -> Iterator[Dockerd]:
    """One that a test may kill."""
    with dockerd_or_skip() as found:
        yield found


@pytest.fixture(scope="module")
def site(engine: Dockerd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterSite]:
    settings = {
        "url": engine.url,
        "network": "host",
        "image": PYTHON,
        "pull": "never",
        "memory": "256MiB",
        "gpus": [{"id": "g0", "model": "A100", "devices": ["/dev/null:/dev/nvidia0"]}],
    }
    with cluster_site(tmp_path_factory.mktemp("docker"), {"kind": "docker", "docker": settings}) as found:
        yield found


def test_a_job_runs_in_a_container(site: ClusterSite) -> None:
    site.put("docker/words", b"one two three\n")
    ended = site.run(
        *("sh", "-c", "id -u; wc -w <words >count; echo there >&2; sleep 0.1"),
        inputs=[{"source": "docker/words"}],
        outputs=[{"path": "count"}],
        image=PYTHON,
    )
    assert (ended["state"], ended["backend"]) == ("succeeded", BACKEND), ended
    assert (site.log(ended), site.log(ended, "stderr")) == (b"65534\n", b"there\n")
    assert site.file(f"jobs/{ended['id']}/outputs/count").strip() == b"3"
    assert ended["usage"]["wall_seconds"] > 0.05


def test_no_secret_of_a_container_gets_out(site: ClusterSite) -> None:
    check_secrets(site)


def test_an_application_finds_its_files_where_it_was_written_for(site: ClusterSite) -> None:
    (site.stack.data / "application_config.yaml").write_text(_APPLICATION)
    site.put("docker/data/a", b"first")
    call = {"application": "small", "version": "v1", "entrypoint": "run", "inputs": {"data_ids": ["docker/data"]}}
    _until_offered(site)
    ended = site.run(application=call)
    assert ended["state"] == "succeeded", ended
    assert site.log(ended) == b"5\n"
    assert site.file(f"jobs/{ended['id']}/outputs/model/all") == b"first"
    moves = site.client.get(f"/v1/jobs/{ended['id']}/history").json()["transitions"]
    assert "/files is the working folder" in next(move["message"] for move in moves if move["state"] == "running")


def _until_offered(site: ClusterSite) -> None:
    until = time.monotonic() + 30
    while "small" not in site.client.get("/v1/applications").json()["applications"]:
        assert time.monotonic() < until, "the application is not offered"
        time.sleep(0.1)


def test_how_jobs_end_there(site: ClusterSite, engine: Dockerd) -> None:
    cases = {
        "no_python": site.submit("true", image=BUSYBOX),
        "no_image": site.submit("true", image="not/there:1"),
        "memory": site.submit("sh", "-c", "exec tail /dev/zero", resources={"memory": "96MiB"}),
        "code": site.submit("sh", "-c", "exit 3"),
        "walltime": site.submit("sleep", "600", resources={"walltime": 2}),
        "gpu": site.submit(
            "sh", "-c", "ls /dev | grep nvidia; echo $CUDA_VISIBLE_DEVICES", resources={"gpus": {"count": 1}}
        ),
        "cancel": site.submit("sleep", "600"),
    }
    site.until(cases["cancel"], "running")
    site.cancel(cases["cancel"])
    ended = {name: site.ended(job) for name, job in cases.items()}
    found = {name: (record["state"], record["reason"]) for name, record in ended.items()}
    assert found == {
        "no_python": ("failed", "refused"),
        "no_image": ("failed", "refused"),
        "memory": ("failed", "memory"),
        "code": ("failed", "exited"),
        "walltime": ("failed", "walltime"),
        "gpu": ("succeeded", "exited"),
        "cancel": ("canceled", "canceled"),
    }, {name: record["message"] for name, record in ended.items()}
    assert "not/there:1" in ended["no_image"]["message"]
    assert "no Python 3.9 or newer" in ended["no_python"]["message"]
    assert site.log(ended["gpu"]) == b"nvidia0\n0\n"
    _until_nothing_is_left(engine)


def test_an_engine_that_is_killed_under_twenty_jobs_costs_none_of_them(site: ClusterSite, engine: Dockerd) -> None:
    script = "echo begun; sleep 3; echo done"
    jobs = [site.submit("sh", "-c", script, resources={"cpus": 0.1, "memory": "64MiB"}) for _ in range(20)]
    for job in jobs[:5]:
        site.until(job, "running", "finishing", *_ENDED)
    engine.kill()
    time.sleep(1)
    engine.start()
    ended = [site.ended(job, seconds=90) for job in jobs]
    assert [(one["state"], site.log(one)) for one in ended] == [("succeeded", b"begun\ndone\n")] * 20
    assert max(one["attempt"] for one in ended) == 2
    _until_nothing_is_left(engine)


def _until_nothing_is_left(engine: Dockerd) -> None:
    until, wanted = time.monotonic() + 30, {"label": f"shunter.backend={BACKEND}"}
    with engine.client() as client:
        while left := client.containers(all=True, filters=wanted):
            assert time.monotonic() < until, left
            time.sleep(0.2)
        while left := client.volumes(filters=wanted)["Volumes"]:
            assert time.monotonic() < until, left
            time.sleep(0.2)
    assert engine.pids() == []
