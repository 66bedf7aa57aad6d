"""The training job of the demo, with one and the same spec on every kind of cluster: the same model comes home."""

from __future__ import annotations

import asyncio
import sysconfig
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from deploy.local.demo.digits import packed_digits
from tests.support.cluster_site import ClusterSite, cluster_site
from tests.support.docker_engine import dockerd_or_skip
from tests.support.docker_images import SCIENCE, make_science_image
from tests.support.ray_cluster import missing_ray, shared_ray
from tests.support.slurm_cluster import run_slurm, skip_without_slurm

pytestmark = pytest.mark.asyncio(loop_scope="module")

_TRAIN = Path(__file__).parents[2] / "deploy" / "local" / "demo" / "train.py"
_LIBRARIES = sysconfig.get_path("purelib")
"""Where the nodes of this machine find scikit-learn; in a container it lies with the interpreter."""

_SPEC: dict[str, Any] = {
    "name": "train-digits",
    # One thread and one kind of arithmetic: else OpenBLAS goes by the machine, and the last digits with it.
    "env": {"OMP_NUM_THREADS": "1", "OPENBLAS_CORETYPE": "Haswell", "PYTHONPATH": _LIBRARIES},
    "inputs": [{"source": "digits/digits.npz"}, {"source": "digits/train.py"}],
    "outputs": [{"path": "model.joblib"}, {"path": "metrics.json"}],
    "resources": {"walltime": "5m", "memory": "1GiB"},
}


async def _clusters(stack: AsyncExitStack, base: Path) -> dict[str, dict[str, Any]]:
    """Start what this machine has; what it lacks is left out, and its test says why."""
    found: dict[str, dict[str, Any]] = {}
    with suppress(pytest.skip.Exception):
        skip_without_slurm()
        slurm = await stack.enter_async_context(run_slurm())
        found["slurm"] = slurm.settings().model_dump(mode="json", exclude_unset=True)
    if not missing_ray():
        found["ray"] = stack.enter_context(shared_ray(base)).settings()
    with suppress(pytest.skip.Exception):
        engine = stack.enter_context(dockerd_or_skip())
        make_science_image(engine.client())
        found["docker"] = {"url": engine.url, "network": "host", "image": SCIENCE, "pull": "never"}
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ClusterSite]:
    async with AsyncExitStack() as stack:
        clusters = await _clusters(stack, tmp_path_factory.getbasetemp())
        others = {kind: {"kind": kind, kind: settings} for kind, settings in clusters.items()}
        running = cluster_site(tmp_path_factory.mktemp("everywhere"), None, others=others)
        found = await asyncio.to_thread(running.__enter__)
        try:
            await asyncio.to_thread(_bring, found)
            yield found
        finally:
            await asyncio.to_thread(running.__exit__, None, None, None)


def _bring(site: ClusterSite) -> None:
    site.put("digits/digits.npz", packed_digits())
    site.put("digits/train.py", _TRAIN.read_bytes())


def _train(site: ClusterSite, backend: str) -> tuple[str, dict[str, Any], bytes]:
    """Return the checksum of the model, the record of the job and what it printed."""
    argv = ("python3", "train.py", "--epochs", "2")
    ended = site.run(*argv, seconds=120, **_SPEC, placement={"backend": backend})
    log = site.log(ended) + site.log(ended, "stderr")
    assert (ended["state"], ended["backend"]) == ("succeeded", backend), (ended, log)
    return sha256(site.file(f"jobs/{ended['id']}/outputs/model.joblib")).hexdigest(), ended, log


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def at_home(site: ClusterSite) -> str:
    """Return the checksum of the model as the runner beside the stack trains it."""
    model, _, _ = await asyncio.to_thread(_train, site, "local")
    return model


@pytest.mark.parametrize("backend", ["slurm", "ray", "docker"])
async def test_the_same_job_gives_the_same_model(site: ClusterSite, at_home: str, backend: str) -> None:
    offered = {found["backend"] for found in site.client.get("/v1/backends").raise_for_status().json()["items"]}
    if backend not in offered:
        pytest.skip(f"no {backend} can be started on this machine")
    model, ended, log = await asyncio.to_thread(_train, site, backend)
    assert model == at_home
    assert b'"accuracy"' in log
    assert ended["usage"]["cpu_seconds"] > 0.5
    assert ended["usage"]["memory_peak"] > 2**20
    replayed = site.stack.client("admin").post("/v1/audit/replay").json()
    assert replayed["equal"], replayed["differences"]
