"""Jobs on a cluster, through the whole stack: a real pilot in each native job."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cluster_site import BACKEND, ClusterSite, cluster_site
from tests.support.secrecy import check_secrets


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterSite]:
    folder = tmp_path_factory.mktemp("cluster")
    backend = {"kind": "processes", "processes": {"folder": str(folder / "natives")}}
    with cluster_site(folder / "stack", backend) as found:
        yield found


def test_a_job_runs_there(site: ClusterSite, tmp_path: Path) -> None:
    site.put("clusters/words", b"one two three\n")
    ended = site.run(
        *("sh", "-c", "wc -w <words >count; echo here; echo there >&2; exit 0"),
        inputs=[{"source": "clusters/words"}],
        outputs=[{"path": "count"}],
    )
    assert (ended["state"], ended["backend"]) == ("succeeded", BACKEND), ended
    assert (site.log(ended), site.log(ended, "stderr")) == (b"here\n", b"there\n")
    assert site.file(f"jobs/{ended['id']}/outputs/count").strip() == b"3"
    assert ended["usage"]["wall_seconds"] > 0


def test_no_secret_of_a_native_job_gets_out(site: ClusterSite) -> None:
    check_secrets(site)
