"""Slurm is drained by its own admin while jobs queue there: they go elsewhere as the policy says, and run once each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.cluster_site import BACKEND, cluster_site
from tests.support.jobs import submit, until_ended
from tests.support.ray_cluster import missing_ray, shared_ray
from tests.support.slurm_beside import slurm_beside
from tests.support.slurm_cluster import NODES, needs_slurm

pytestmark = [needs_slurm, pytest.mark.timeout(300)]

_JOBS = 50
_PATIENCE = 4


@pytest.fixture(params=["local", "ray"])
def others(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Any]]:
    """Return what there is beside Slurm by its name, with its settings: nothing of a backend that is always there."""
    if request.param == "local":
        yield {"local": None}
        return
    if missing_ray():
        pytest.skip(missing_ray())
    with shared_ray(tmp_path_factory.getbasetemp()) as ray:
        pack = {"most": 10, "cpus": 4, "walltime": 3600, "ahead": 2}
        yield {"elsewhere": {"kind": "ray", "ray": ray.settings(), "pack": pack}}


def test_fifty_jobs_that_queue_on_a_drained_slurm_finish_elsewhere_once_each(
    tmp_path: Path, others: Mapping[str, Any]
) -> None:
    [second] = others
    ran = tmp_path / "ran"
    policy = {"default": {"order": "ordered", "backends": [BACKEND, second], "patience": _PATIENCE}}
    clusters = {name: settings for name, settings in others.items() if settings}
    with (
        slurm_beside() as slurm,
        cluster_site(tmp_path / "site", slurm.backend(), scheduler={"placement": policy}, others=clusters) as site,
    ):
        # Slurm is full of jobs that take a while, so that most of them queue there.
        jobs = [submit(site.client, "sh", "-c", f"echo {n} >>{ran}; sleep 1") for n in range(_JOBS)]
        site.until(jobs[0], "running", "succeeded")
        slurm.call("scontrol", "update", f"nodename={','.join(NODES)}", "state=drain", "reason=test")
        ended = [until_ended(site.client, job, seconds=120) for job in jobs]
        assert Counter(job["state"] for job in ended) == {"succeeded": _JOBS}
        places = Counter(job["backend"] for job in ended)
        assert places.keys() == {second, BACKEND}
        assert places[second] > places[BACKEND], places
        assert sorted(int(line) for line in ran.read_text().split()) == list(range(_JOBS))
        assert slurm.queue() == ""
