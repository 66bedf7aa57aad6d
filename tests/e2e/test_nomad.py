"""Jobs on Nomad, through the whole stack: real pilots, on the simulator or on a real server if there is one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.cluster_site import BACKEND, ClusterSite, cluster_site
from tests.support.nomad_site import backend_of_nomad


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterSite]:
    folder = tmp_path_factory.mktemp("nomad")
    with backend_of_nomad(folder) as backend, cluster_site(folder / "stack", backend) as found:
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
