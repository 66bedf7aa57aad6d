"""Our own worker where a container engine is at hand runs images; where there is none, it takes no such job."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.docker_engine import Dockerd, needs_docker
from tests.support.docker_images import BUSYBOX, EMPTY
from tests.support.pull_site import PullSite, run_pull_site
from tests.support.pull_workers import worker_process, working
from tests.support.pulling import poll
from tests.support.servers import S3

pytestmark = [pytest.mark.asyncio(loop_scope="module"), needs_docker]

_NOBODY = 65534


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory, temporal: str, s3: S3) -> AsyncIterator[PullSite]:
    async with run_pull_site(Path(tmp_path_factory.mktemp("boxed")), temporal, s3) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def folder(tmp_path: Path, site: PullSite, docker_engine: Dockerd) -> AsyncIterator[Path]:
    """Run a worker with an engine, in this folder."""
    engine = {"url": docker_engine.url, "network": "none", "pull": "never"}
    async with working(site, tmp_path / "work", containers=engine):
        yield tmp_path / "work"


def _left(engine: Dockerd, folder: Path) -> list[str]:
    with engine.client() as client:
        found = client.containers(all=True, filters={"label": f"shunter.worker={folder}"})
        return [one["Names"][0] for one in found]


async def _run(site: PullSite, script: str, **spec: Any) -> dict[str, Any]:
    return await site.until(await site.submit_any(script=script, **{"image": BUSYBOX, **spec}))


async def _log(site: PullSite, job: dict[str, Any], stream: str = "stdout") -> str:
    return (await site.ask("ada", "GET", f"/v1/jobs/{job['id']}/logs", params={"stream": stream})).text


async def test_a_job_runs_in_its_image_with_little_to_do_harm_with(
    site: PullSite, folder: Path, docker_engine: Dockerd
) -> None:
    await site.keep("boxed/data/a.txt", b"3\n1\n")
    await site.keep("boxed/start.txt", b"2\n")
    script = """
      pwd; id -u; ls /proc/1 >/dev/null && echo "alone: $(ls -d /proc/[0-9]* | wc -l)"
      mkdir -p model; cat data/a.txt start.txt | sort >model/sorted; echo "$SEED $HOME $SHUNTER_FILES"
      for path in data/new data/a.txt start.txt /etc/new; do echo x >$path && echo "wrote $path"; done
      echo t >/tmp/t && cat /tmp/t; ls /sys/class/net; grep -i capeff /proc/self/status; cat /proc/self/environ >&2
      cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; exit 3
    """
    ended = await _run(
        site,
        script,
        env={"SEED": "7"},
        inputs=[
            {"source": "boxed/data", "path": "data", "folder": True},
            {"source": "boxed/start.txt", "path": "start.txt"},
        ],
        outputs=[{"path": "model", "to": "artifact/boxed"}],
        resources={"memory": "64MiB"},
    )
    said = await _log(site, ended)
    assert (ended["state"], ended["exit_code"], ended["allocation"]["node"]) == ("failed", 3, "wim/box"), ended
    assert said.splitlines()[:2] == ["/files", str(_NOBODY)]
    assert "7 /files /files" in said
    assert "wrote" not in said
    assert "\nt\nlo\nCapEff:\t0000000000000000\n" in said
    assert str(64 * 2**20) in said
    seen = await _log(site, ended, "stderr")
    assert (seen.count("Read-only file system"), "SHUNTER_JOB_ID=" in seen, str(folder) in seen) == (4, True, False)
    assert await site.read("artifact/boxed/model/sorted") == b"1\n2\n3\n"
    assert _left(docker_engine, folder) == []


async def test_a_job_in_an_image_is_canceled_and_one_that_wants_too_much_memory_ends_for_that(
    site: PullSite, folder: Path, docker_engine: Dockerd
) -> None:
    long = await site.submit_any(script="echo begun; sleep 600", image=BUSYBOX)
    greedy = await site.submit_any(script="tail /dev/zero", image=BUSYBOX, resources={"memory": "32MiB"})
    ended = await site.until(greedy)
    assert (ended["state"], ended["reason"]) == ("failed", "memory"), ended
    await poll(lambda: _log(site, {"id": long}), lambda said: said == "begun\n")
    (await site.ask("ada", "POST", f"/v1/jobs/{long}/cancel")).raise_for_status()
    canceled = await site.until(long)
    assert (canceled["state"], canceled["tail"][:6]) == ("canceled", "begun\n")
    assert canceled["usage"]["memory_peak"] > 0
    assert _left(docker_engine, folder) == []


@pytest.mark.usefixtures("folder")
async def test_an_image_that_is_not_there_or_has_no_shell_is_refused(site: PullSite) -> None:
    missing, empty = await asyncio.gather(
        _run(site, "true", image="shunter-test/nothing:1"), _run(site, "true", image=EMPTY)
    )
    assert (missing["state"], missing["reason"]) == ("failed", "refused")
    assert "shunter-test/nothing:1 is not on this backend" in missing["message"]
    assert (empty["state"], empty["reason"], "/bin/sh" in empty["message"]) == ("failed", "refused", True), empty


@pytest.mark.usefixtures("folder")
async def test_tasks_of_an_array_run_in_their_image(site: PullSite) -> None:
    ended = await _run(
        site,
        "ls /bin/busybox && echo $SHUNTER_ARRAY_INDEX >out-$SHUNTER_ARRAY_INDEX",
        array={"count": 2},
        outputs=[{"path": "out-{index}"}],
    )
    assert (ended["state"], ended["tasks"]["succeeded"]) == ("succeeded", 2), ended
    assert await site.read(f"jobs/{ended['id']}/outputs/out-1") == b"1\n"


async def test_who_has_no_engine_takes_no_job_that_needs_an_image(
    site: PullSite, tmp_path: Path, docker_engine: Dockerd
) -> None:
    gone = {"url": f"unix://{tmp_path}/nobody.sock"}
    async with (
        working(site, tmp_path / "plain", "wes"),
        working(site, tmp_path / "gone", "wes", "gone", containers=gone),
    ):
        boxed = await site.submit_any(argv=["ls", "/bin/busybox"], image=BUSYBOX)
        plain = await site.submit_any(argv=["true"])
        assert (await site.until(plain))["allocation"]["node"].startswith("wes/")
        assert (await site.job(boxed))["state"] == "queued"
        engine = {"url": docker_engine.url, "network": "none", "pull": "never"}
        async with working(site, tmp_path / "work", containers=engine):
            ended = await site.until(boxed)
    assert (ended["state"], ended["allocation"]["node"], ended["tail"]) == ("succeeded", "wim/box", "/bin/busybox\n")


async def test_a_worker_that_is_killed_finds_its_containers_again(
    site: PullSite, tmp_path: Path, docker_engine: Dockerd
) -> None:
    options = ("--engine", docker_engine.url, "--network", "none", "--images", "never")
    before, site.pull.lease = site.pull.lease, 60.0
    try:
        async with worker_process(site, tmp_path / "box", "wim", *options) as first:
            script = "echo begun; while [ ! -e /files/go ]; do sleep 0.1; done; echo went"
            job = await site.submit_any(script=script, image=BUSYBOX)
            await poll(lambda: _log(site, {"id": job}), lambda said: said == "begun\n")
            first.kill()
            await first.wait()
        async with worker_process(site, tmp_path / "box", "wim", *options):
            (tmp_path / "box" / "work" / f"{job}.1" / "work" / "go").touch()
            ended = await site.until(job)
            assert await _log(site, ended) == "begun\nwent\n"
    finally:
        site.pull.lease = before
    assert (ended["state"], ended["attempt"]) == ("succeeded", 1)
    assert _left(docker_engine, tmp_path / "box" / "work") == []
