"""Jobs on Nomad, through the whole stack: real pilots, on the simulator or on a real server if there is one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cluster_site import BACKEND, ClusterSite, cluster_site
from tests.support.nomad_site import NomadBackend, backend_of_nomad
from tests.support.secrecy import check_secrets


@pytest.fixture(scope="module")
def nomad(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NomadBackend]:
    with backend_of_nomad(tmp_path_factory.mktemp("cluster")) as found:
        yield found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, nomad: NomadBackend) -> Iterator[ClusterSite]:
    with cluster_site(tmp_path_factory.mktemp("nomad") / "stack", nomad.backend) as found:
        yield found


def test_a_job_runs_there_with_its_files_and_logs(site: ClusterSite) -> None:
    site.put("nomad/words", b"one two three\n")
    ended = site.run(
        *("sh", "-c", "wc -w <words >count; echo here; echo there >&2; exit 0"),
        inputs=[{"source": "nomad/words"}],
        outputs=[{"path": "count"}],
    )
    assert (ended["state"], ended["backend"]) == ("succeeded", BACKEND), ended
    assert (site.log(ended), site.log(ended, "stderr")) == (b"here\n", b"there\n")
    assert site.file(f"jobs/{ended['id']}/outputs/count").strip() == b"3"
    assert ended["usage"]["wall_seconds"] > 0


def test_a_running_job_is_cancelled(site: ClusterSite) -> None:
    job = site.submit("sleep", "600")
    site.until(job, "running")
    site.cancel(job)
    assert site.ended(job)["state"] == "canceled"


def test_no_secret_of_the_cluster_gets_out_even_where_it_is_refused(site: ClusterSite, nomad: NomadBackend) -> None:
    if not nomad.secret:
        pytest.skip("this server wants no tokens")
    file, wrong = Path(nomad.backend["nomad"]["token_file"]), "wrong-secret-of-nobody"
    job = site.submit("sh", "-c", "sleep 1; echo done")
    site.until(job, "running")
    file.write_text(wrong)
    try:
        _until_backends_say(site, "Nomad refuses our token")
        assert site.ended(job)["state"] == "succeeded"
    finally:
        file.write_text(nomad.secret)
    check_secrets(site, nomad.secret, wrong)


def _until_backends_say(site: ClusterSite, word: str) -> None:
    until = time.monotonic() + 30
    while word not in (said := site.client.get("/v1/backends").text):
        assert time.monotonic() < until, said
        time.sleep(0.2)


def test_a_drained_node_gives_the_job_another_attempt(site: ClusterSite, nomad: NomadBackend) -> None:
    job = site.submit("sleep", "600")
    site.until(job, "running")
    where = nomad.node_of(job)
    nomad.drain(where)
    try:
        until = time.monotonic() + 60
        while (found := site.get(job))["attempt"] == 1 or found["state"] != "running":
            assert time.monotonic() < until, found
            time.sleep(0.2)
    finally:
        nomad.open(where)
    site.cancel(job)
    assert site.ended(job)["state"] == "canceled"


def test_what_nobody_could_mean_is_refused_at_once(site: ClusterSite) -> None:
    spec = {"argv": ["true"], "placement": {"backend": BACKEND, "options": {"nomad": {"no_such": 1}}}}
    answer = site.client.post("/v1/jobs", json=spec)
    assert (answer.status_code, "no_such" in answer.text) == (422, True), answer.text


def test_what_nomad_finds_wrong_fails_the_job_in_its_words(site: ClusterSite) -> None:
    wrong = {"constraints": [{"attribute": "${attr.cpu.arch}", "operator": "regexp", "value": "("}]}
    ended = site.run("true", placement={"backend": BACKEND, "options": {"nomad": wrong}})
    assert ended["state"] == "failed"
    assert "compile" in ended["message"], ended


def test_a_job_says_what_it_waits_for(site: ClusterSite) -> None:
    nowhere = {"constraints": [{"attribute": "${node.class}", "value": "no-such-class"}]}
    job = site.submit("true", placement={"backend": BACKEND, "options": {"nomad": nowhere}})
    until = time.monotonic() + 30
    while "${node.class} = no-such-class" not in (said := site.client.get(f"/v1/jobs/{job}/explain").text):
        assert time.monotonic() < until, said
        time.sleep(0.2)
    site.cancel(job)
    assert site.ended(job)["state"] == "canceled"
