"""The engine that tests start is a real one, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import psutil

from tests.support.docker_engine import Dockerd, needs_docker, run_dockerd
from tests.support.docker_images import BUSYBOX, EMPTY, PYTHON

pytestmark = needs_docker


def test_the_images_are_there_and_run(docker_engine: Dockerd) -> None:
    with docker_engine.client() as client:
        assert {tag for image in client.images() for tag in image["RepoTags"]} >= {BUSYBOX, EMPTY, PYTHON}
        container = client.create_container(PYTHON, ["python3", "-c", "import ssl, asyncio; print('here')"])
        client.start(container)
        assert client.wait(container)["StatusCode"] == 0
        assert client.logs(container) == b"here\n"
        client.remove_container(container)


def test_what_a_killed_engine_left_is_gone_afterwards_with_its_network() -> None:
    with run_dockerd(networks=True, images=True) as engine:
        with engine.client() as client:
            config = client.create_host_config(port_bindings={80: ("127.0.0.1", None)})
            container = client.create_container(BUSYBOX, ["sleep", "600"], host_config=config, ports=[80])
            client.start(container)
            assert client.port(container["Id"], 80)[0]["HostIp"] == "127.0.0.1"
        pids = engine.pids()
        assert pids
        engine.kill()
        assert engine.pids() == pids, "containers outlive their engine"
    assert [pid for pid in pids if _lives(pid)] == []
    assert not engine.folder.exists()
    assert engine.word not in Path("/proc/mounts").read_text()
    assert not list(Path("/sys/class/net").glob(f"*{engine.word}"))
    assert not list(Path("/sys/fs/cgroup").glob(f"*/shunter-{engine.word}"))


def _lives(pid: int) -> bool:
    """Say whether it runs; on some machines nobody fetches the end of a process whose parent is gone."""
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
