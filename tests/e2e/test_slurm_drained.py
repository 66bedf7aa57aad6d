"""Slurm is drained by its own admin while jobs queue there: they go elsewhere as the policy says, and run once each."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.support.cluster_site import BACKEND, cluster_site
from tests.support.jobs import submit, until_ended
from tests.support.slurm_beside import slurm_beside
from tests.support.slurm_cluster import NODES, needs_slurm

pytestmark = [needs_slurm, pytest.mark.timeout(300)]

_JOBS = 50
_POLICY = {"default": {"order": "ordered", "backends": [BACKEND, "local"], "patience": 4}}


def test_fifty_jobs_that_queue_on_a_drained_slurm_finish_elsewhere_once_each(tmp_path: Path) -> None:
    ran, policy = tmp_path / "ran", {"placement": _POLICY}
    with slurm_beside() as slurm, cluster_site(tmp_path / "site", slurm.backend(), scheduler=policy) as site:
        # Slurm is full of jobs that take a while, so that most of them queue there.
        jobs = [submit(site.client, "sh", "-c", f"echo {n} >>{ran}; sleep 1") for n in range(_JOBS)]
        site.until(jobs[0], "running", "succeeded")
        slurm.call("scontrol", "update", f"nodename={','.join(NODES)}", "state=drain", "reason=test")
        ended = [until_ended(site.client, job, seconds=120) for job in jobs]
        assert Counter(job["state"] for job in ended) == {"succeeded": _JOBS}
        places = Counter(job["backend"] for job in ended)
        assert places["local"] > places[BACKEND] > 0, places
        assert sorted(int(line) for line in ran.read_text().split()) == list(range(_JOBS))
        assert slurm.queue() == ""
