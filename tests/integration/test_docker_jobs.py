"""Native jobs in containers of a real engine: started once, seen, ended, removed, and allowed little."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from contracts.errors import InvalidError, RefusedError, UnavailableError
from contracts.states import Reason
from services.scheduler.backends.engines.base import Native, NativeState
from services.scheduler.backends.engines.docker.container import running
from tests.support.docker_engine import Dockerd, needs_docker
from tests.support.docker_images import BUSYBOX, EMPTY, PYTHON
from tests.support.docker_orders import Site, run_site

pytestmark = needs_docker

_SLEEPS = "trap 'echo told; exit 0' TERM; echo ready; while :; do sleep 0.05; done"
_DEAF = "trap '' TERM; while :; do sleep 0.05; done"


@pytest.fixture
async def site(docker_engine: Dockerd, tmp_path: Path) -> AsyncIterator[Site]:
    async with run_site(docker_engine, tmp_path) as found:
        yield found


async def test_a_native_job_runs_and_is_seen_and_removed_with_its_volumes(site: Site) -> None:
    native = await site.start("echo $SHUNTER_PILOT_NAME; exit 3", env={"SHUNTER_PILOT_NAME": "n1"})
    seen = await site.until(native)
    assert (seen.exit_code, seen.ending, seen.native_id) == (3, None, native.native_id)
    assert seen.reason == "its container ended with exit code 3: n1"
    assert seen.node == os.uname().nodename
    assert len(site.left()) == 3, "a container with two volumes"
    await site.engine.remove([native])
    assert site.left() == []
    assert await site.engine.look([native]) == {}
    await site.engine.remove([native])
    await site.engine.stop([native])


async def test_started_twice_is_one_container(site: Site) -> None:
    order = site.order(_SLEEPS)
    first, second = await site.engine.start([order]), await site.engine.start([order])
    assert first == second
    assert len(await site.engine.look([])) == 1


@pytest.mark.parametrize("died_after", ["set aside", "made"])
async def test_what_was_half_started_goes_on_once(docker_engine: Dockerd, tmp_path: Path, died_after: str) -> None:
    async with run_site(docker_engine, tmp_path, cpus=1) as site:
        first = await site.start(_SLEEPS, cpus=1)
        native = await site.start("echo once", cpus=1)
        assert (await site.engine.look([]))[native.name].state is NativeState.WAITING
        with docker_engine.client() as client:
            waits = client.inspect_container(native.name)
            client.rename(waits["Id"], f"{native.name}.waits")
            if died_after == "made":
                client.create_container_from_config(running(waits, (), site.settings), native.name)
        again = site.order("echo twice", cpus=1)
        (started,) = await site.engine.start([replace(again, name=native.name)])
        assert started.error is None
        await site.engine.remove([first])
        await site.until(native)
        assert site.logs(native) == "once\n"
        assert len(await site.engine.look([])) == 1
        await site.engine.remove([native])
        assert site.left() == []


async def test_a_container_of_somebody_else_is_left_alone(site: Site) -> None:
    order = site.order()
    with site.server.client() as client:
        foreign = client.create_container(BUSYBOX, ["sleep", "600"], name=order.name)
        try:
            (started,) = await site.engine.start([order])
            assert isinstance(started.error, RefusedError)
            assert "in use" in started.error.detail
            assert await site.engine.look([]) == {}
            await site.engine.stop([Native(order.name, "")])
            await site.engine.remove([Native(order.name, "")])
            assert client.inspect_container(foreign)["State"]["Status"] == "created"
        finally:
            client.remove_container(foreign, force=True)


async def test_stopped_it_gets_time_for_its_last_words(site: Site) -> None:
    native = await site.start(_SLEEPS)
    await site.until(native, NativeState.RUNNING)
    while "ready" not in site.logs(native):
        await site.engine.look([native])
    await site.engine.stop([native])
    await site.engine.stop([native])
    seen = await site.until(native)
    assert seen.exit_code == 0
    assert site.logs(native).split() == ["ready", "told"]


async def test_what_does_not_listen_is_killed_when_its_grace_is_over(docker_engine: Dockerd, tmp_path: Path) -> None:
    async with run_site(docker_engine, tmp_path, grace=0.2) as site:
        native = await site.start(_DEAF)
        await site.until(native, NativeState.RUNNING)
        await site.engine.stop([native])
        seen = await site.until(native)
    assert (seen.exit_code, seen.ending) == (137, Reason.CANCELED)


async def test_an_admins_kill_is_told_from_an_end_of_its_own(site: Site) -> None:
    native = await site.start(_DEAF)
    await site.until(native, NativeState.RUNNING)
    with site.server.client() as client:
        client.kill(native.native_id)
    assert (await site.until(native)).ending is Reason.CANCELED
    _, said = await site.run("kill -9 $$; sleep 1; echo still here")
    assert said == "still here\n", "the first process of a container is not killed from within"


async def test_one_that_an_admin_removed_is_forgotten(site: Site) -> None:
    native = await site.start(_SLEEPS)
    with site.server.client() as client:
        client.remove_container(native.native_id, force=True)
    assert await site.engine.look([native]) == {}


async def test_too_much_memory_is_told_apart(site: Site) -> None:
    seen, _ = await site.run("exec tail /dev/zero", memory=16 * 2**20)
    assert (seen.ending, seen.exit_code) == (Reason.MEMORY, 137)


async def test_what_a_job_may_do_is_little(site: Site) -> None:
    script = """
    id -u; id -g
    grep -E '^(CapEff|NoNewPrivs)' /proc/self/status
    touch /etc/x 2>&1
    touch "$SHUNTER_PILOT_FILE" 2>&1
    cat "$SHUNTER_PILOT_FILE"
    touch "$SHUNTER_PILOT_WORK/x" "$TMPDIR/x" /files/x /dev/shm/x && echo written
    ls -ld /files | cut -c1-10
    ls /var/run/docker.sock /run/docker.sock 2>/dev/null | wc -l
    """
    _, said = await site.run(script, files="/files")
    assert said.splitlines() == [
        *("65534", "65534"),
        *("NoNewPrivs:\t1", "CapEff:\t0000000000000000")[::-1],
        "touch: /etc/x: Read-only file system",
        "touch: /shunter/pilot.pyz: Read-only file system",
        "print('the pilot')",
        "written",
        "drwx------",
        "0",
    ]


async def test_limits_are_the_jobs(docker_engine: Dockerd, tmp_path: Path) -> None:
    async with run_site(docker_engine, tmp_path, pids=64) as site:
        options = {"shm": "128MiB"}
        native = await site.start("df -k /dev/shm | tail -1", cpus=0.5, memory=2**26, options=options)
        await site.until(native)
        with docker_engine.client() as client:
            host = client.inspect_container(native.native_id)["HostConfig"]
        assert site.logs(native).split()[1] == str(128 * 1024)
    assert (host["NanoCpus"], host["Memory"], host["MemorySwap"]) == (500_000_000, 2**26, 2**26)
    assert (host["PidsLimit"], host["Privileged"], host["NetworkMode"]) == (64, False, "host")


async def test_a_word_that_is_no_option_is_refused(site: Site) -> None:
    error = await site.refusal(options={"privileged": True})
    assert isinstance(error, InvalidError)
    assert error.errors[0].field == "placement.options.docker.privileged"
    assert site.left() == []


async def test_gpus_are_given_to_one_at_a_time(docker_engine: Dockerd, tmp_path: Path) -> None:
    gpus = [
        {"id": f"g{n}", "model": "A100", "memory": "40GiB", "devices": [f"/dev/null:/dev/nvidia{n}"]} for n in (0, 1)
    ]
    async with run_site(docker_engine, tmp_path, gpus=gpus) as site:
        script = "ls /dev | grep nvidia; echo $CUDA_VISIBLE_DEVICES $NVIDIA_VISIBLE_DEVICES; sleep 600"
        first = await site.start(script, gpus=1, gpu_model="a100")
        second = await site.start(script, gpus=1, gpu_memory=2**30)
        third = await site.start("ls /dev | grep nvidia", gpus=1)
        for never in ({"gpus": 3}, {"gpus": 1, "gpu_model": "h100"}, {"gpus": 1, "gpu_memory": 2**40}):
            error = await site.refusal(**never)
            assert isinstance(error, InvalidError)
            assert error.errors[0].field == "resources.gpus"
        capacity = await site.engine.capacity()
        assert (capacity.gpus, capacity.gpus_free, capacity.gpu_models) == (2, 0, ("A100",))
        assert (capacity.running, capacity.queued) == (2, 1)
        seen = await site.engine.look([])
        assert (seen[third.name].state, seen[third.name].reason) == (
            NativeState.WAITING,
            "it waits for room on its machine",
        )
        while not all("void" in site.logs(one) for one in (first, second)):
            await site.engine.look([])
        assert [site.logs(one).split() for one in (first, second)] == [
            ["nvidia0", "0", "void"],
            ["nvidia1", "0", "void"],
        ]
        await site.engine.remove([second])
        await site.until(third)
        assert site.logs(third) == "nvidia1\n"


async def test_what_does_not_fit_waits_and_nothing_small_goes_before_it(docker_engine: Dockerd, tmp_path: Path) -> None:
    async with run_site(docker_engine, tmp_path, cpus=1, total_memory="512MiB") as site:
        native = await site.start(_SLEEPS, cpus=0.6, memory=2**28)
        capacity = await site.engine.capacity()
        assert (capacity.cpus, capacity.memory, capacity.memory_free) == (1.0, 2**29, 2**28)
        assert capacity.cpus_free == pytest.approx(0.4)
        large = await site.start("echo large", cpus=0.9)
        small, urgent = await site.start("echo small", cpus=0.3), await site.start("echo urgent", cpus=0.3, priority=5)
        assert (await site.until(urgent)).exit_code == 0
        waiting = {one.name for one in (await site.engine.look([])).values() if one.state is NativeState.WAITING}
        assert waiting == {large.name, small.name}
        for never in ({"cpus": 3}, {"memory": 2**40}, {"nodes": 2}, {"cpus": 0.5, "processes": 3}):
            assert isinstance(await site.refusal(**never), InvalidError)
        await site.engine.stop([small])
        assert small.name not in await site.engine.look([])
        await site.engine.remove([native])
        assert (await site.until(large)).exit_code == 0


async def test_images_that_cannot_run_a_job_are_refused_in_the_engines_words(site: Site) -> None:
    missing, bad, empty = [await site.refusal(image=image) for image in ("not/there:1", "Not A Name", EMPTY)]
    assert isinstance(missing, InvalidError)
    assert "not/there:1 is not on this backend" in missing.detail
    assert isinstance(bad, InvalidError)
    assert "invalid reference format" in bad.detail
    assert isinstance(empty, RefusedError)
    assert "/bin/sh" in empty.detail
    assert site.left() == []
    seen, _ = await site.run("echo 'no Python 3.9 or newer was found' >&2; exit 91")
    assert seen.ending is Reason.REFUSED
    assert seen.reason == f"image {BUSYBOX} has no Python that can run a job: no Python 3.9 or newer was found"
    seen, said = await site.run("python3 $SHUNTER_PILOT_FILE", image=PYTHON)
    assert (seen.exit_code, said) == (0, "the pilot\n")


async def test_a_job_without_an_image_where_there_is_none_for_it_is_refused(
    docker_engine: Dockerd, tmp_path: Path
) -> None:
    async with run_site(docker_engine, tmp_path, image=None) as site:
        error = await site.refusal()
    assert isinstance(error, InvalidError)
    assert error.errors[0].field == "image"


async def test_an_engine_that_is_away_is_unavailable_and_the_next_call_tries_again(tmp_path: Path) -> None:
    server = Dockerd(tmp_path / "nowhere")
    site = Site(server, tmp_path)
    try:
        with pytest.raises(UnavailableError, match=r"cannot be reached: .*No such file"):
            await site.engine.look([])
        with pytest.raises(UnavailableError):
            await site.engine.capacity()
        assert isinstance(await site.refusal(), UnavailableError)
    finally:
        await site.engine.close()
