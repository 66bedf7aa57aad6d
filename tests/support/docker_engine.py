"""A real container engine of the tests' own: dockerd on a socket in a folder, which leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import docker
import psutil
import pytest
from docker.errors import DockerException

from .docker_images import find_busybox, make_images

__all__ = ["Dockerd", "EngineAbsentError", "dockerd_or_skip", "needs_docker", "run_dockerd"]

_READY_WITHIN = 30.0
_STOPPED_WITHIN = 20.0

_ISOLATED = ("--bridge=none", "--iptables=false", "--ip-masq=false", "--ip-forward=false")
"""Changes nothing on the machine: containers have no network, or the machine's own."""

_RUNC = """#!/bin/sh
last=
for word; do
    [ "$last" != --bundle ] || sed -i 's/"oomScoreAdj":-[0-9]*/"oomScoreAdj":0/' "$word/config.json"
    last=$word
done
exec runc "$@"
"""


class EngineAbsentError(RuntimeError):
    """No engine can run here; the text says why."""


def _why_not() -> str:
    if os.geteuid() != 0:
        return "only root can start a container engine here"
    missing = [name for name in ("dockerd", "containerd", "runc") if shutil.which(name) is None]
    if find_busybox() is None:
        missing.append("busybox")
    return f"not installed here: {', '.join(missing)} (deploy/engines/apt.txt)" if missing else ""


needs_docker = pytest.mark.skipif(bool(_why_not()), reason=_why_not() or "there is an engine")
"""Marks a test that runs one."""


@dataclass
class Dockerd:
    """One engine; several can run side by side."""

    folder: Path
    options: tuple[str, ...] = ()
    word: str = field(default_factory=lambda: uuid4().hex[:8])
    """Tells what it makes on this machine from what others make: control groups, a bridge."""
    networks: bool = False
    _process: subprocess.Popen[bytes] | None = None
    _containerd: subprocess.Popen[bytes] | None = None
    """Its helper, which lives on without it, as on a machine whose services are looked after one by one."""

    @property
    def socket(self) -> Path:
        """Return where it listens."""
        return self.folder / "docker.sock"

    @property
    def url(self) -> str:
        """Return what `DOCKER_HOST` would be."""
        return f"unix://{self.socket}"

    @property
    def address(self) -> str:
        """Return where containers on the bridge reach this machine; it has one with `networks`."""
        number = int(self.word[:4], 16)
        return f"10.{200 + number % 50}.{number // 50 % 250}.1"

    @property
    def log(self) -> str:
        """Return what it has said so far."""
        return (self.folder / "log").read_text(errors="replace")

    def client(self) -> docker.APIClient:
        """Return a connection, which its taker closes."""
        return docker.APIClient(base_url=self.url, version="auto", timeout=60)

    def start(self) -> None:
        """Start it, on what it has; returns when it answers. It cannot start: `EngineAbsentError`."""
        if self._containerd is None:
            self._containerd = self._spawn(*self._helper_argv())
        self._process = self._spawn(*self._argv())
        until = time.monotonic() + _READY_WITHIN
        while not self._answers():
            if any(one.poll() is not None for one in (self._process, self._containerd)) or time.monotonic() > until:
                self.kill()
                said = [line for line in self.log.splitlines() if "level=fatal" in line or "failed" in line]
                raise EngineAbsentError(f"dockerd does not start here: {' '.join(said[-1:]) or self.log[-500:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Ask it to end, as an operator does; without `--live-restore` it ends all containers before."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it: containers run on without it."""
        self._end(signal.SIGKILL)

    def pids(self) -> list[int]:
        """Return the processes of all its containers, whatever it knows of them."""
        tasks = (task for group in self._groups() for task in group.glob("**/cgroup.procs"))
        return sorted({int(line) for task in tasks for line in task.read_text().split()})

    def clean(self) -> None:
        """Leave nothing behind, however it ended."""
        if self._process is not None and self._process.poll() is None:
            with suppress(DockerException, OSError):
                self._remove_all()
            self.stop()
        self._kill_rest()
        if self._containerd is not None:
            self._containerd.kill()
            self._containerd.wait()
        self._unmount()
        if self.networks:
            _call("ip", "link", "delete", self._bridge)
        for group in self._groups():
            for folder in sorted(group.glob("**/"), key=lambda path: -len(path.parts)):
                with suppress(OSError):
                    folder.rmdir()

    def _spawn(self, *argv: str) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/"
            )

    def _helper_argv(self) -> list[str]:
        folder = self.folder
        config = folder / "containerd.toml"
        config.write_text(
            f"""version = 2
root = "{folder}/containerd"
state = "{folder}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "{folder}/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
path = "{folder}/opt"
"""
        )
        return ["containerd", "--config", str(config), "--log-level", "error"]

    def _argv(self) -> list[str]:
        folder = self.folder
        words = [f"--host={self.url}", f"--data-root={folder / 'data'}", f"--exec-root={folder / 'exec'}"]
        words += [f"--containerd={folder / 'containerd.sock'}"]
        words += [f"--pidfile={folder / 'dockerd.pid'}", f"--cgroup-parent=/shunter-{self.word}"]
        # A setting of the machine's own engine is none of ours.
        (folder / "daemon.json").write_text("{}")
        words += [f"--config-file={folder / 'daemon.json'}"]
        if self.networks:
            self._make_bridge()
            words += [f"--bridge={self._bridge}", *_ISOLATED[1:]]
        else:
            words += _ISOLATED
        return ["dockerd", *words, *self._runtime(), *self.options]

    def _runtime(self) -> list[str]:
        """Return what has containers started by a runc that asks for no more than this machine gives.

        A kubelet wants its containers to be killed last when memory is short, which not every root may have.
        """
        script = self.folder / "runc"
        script.write_text(_RUNC)
        script.chmod(0o755)
        return [f"--add-runtime=modest={script}", "--default-runtime=modest"]

    @property
    def _bridge(self) -> str:
        return f"sh{self.word}"

    def _make_bridge(self) -> None:
        """Make a bridge of its own, with a network that no other test has. Ports are published by a process."""
        if Path("/sys/class/net", self._bridge).exists():
            return
        _call("ip", "link", "add", self._bridge, "type", "bridge", check=True)
        _call("ip", "address", "add", f"{self.address}/24", "dev", self._bridge, check=True)
        _call("ip", "link", "set", self._bridge, "up", check=True)

    def _answers(self) -> bool:
        if not self.socket.exists():
            return False
        try:
            client = self.client()
        except DockerException:
            return False
        with client:
            return bool(client.ping())

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(_STOPPED_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _remove_all(self) -> None:
        with self.client() as client:
            for one in client.containers(all=True):
                with suppress(DockerException):
                    client.remove_container(one["Id"], force=True, v=True)
            client.prune_volumes()
            if self.networks:
                client.prune_networks()

    def _groups(self) -> list[Path]:
        """Return the control groups of its containers: one folder for each controller, or one for all."""
        name = f"shunter-{self.word}"
        return [
            path for path in (*Path("/sys/fs/cgroup").glob(f"*/{name}"), Path("/sys/fs/cgroup", name)) if path.is_dir()
        ]

    def _kill_rest(self) -> None:
        """Kill what a killed engine left: its containers and what watches them."""
        watchers = [process.pid for process in psutil.process_iter() if self._is_ours(process)]
        for pid in (*self.pids(), *watchers):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        until = time.monotonic() + _STOPPED_WITHIN
        while self.pids() and time.monotonic() < until:
            time.sleep(0.05)

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            words = process.cmdline()
        except psutil.Error:
            return False
        return any(str(self.folder) in word for word in words) and "containerd" in words[0]

    def _unmount(self) -> None:
        mounts = [line.split(" ")[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for mount in reversed([mount for mount in mounts if mount.startswith(f"{self.folder}/")]):
            _call("umount", "--lazy", mount)


def _call(*argv: str, check: bool = False) -> None:
    subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=check)


@contextmanager
def run_dockerd(*options: str, networks: bool = False, images: bool = True) -> Iterator[Dockerd]:
    """Run an engine of the test's own, with *options* such as `--live-restore`.

    Containers have no network or the machine's; with *networks* they have a bridge too, and ports can be published.
    With *images* those of `docker_images` are there.
    """
    if why := _why_not():
        raise EngineAbsentError(why)
    # Paths of sockets are short.
    folder = Path(tempfile.mkdtemp(prefix="shd-", dir="/tmp"))
    engine = Dockerd(folder=folder, options=options, networks=networks)
    try:
        engine.start()
        if images:
            with engine.client() as client:
                make_images(client)
        yield engine
    finally:
        engine.clean()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def dockerd_or_skip(*options: str, networks: bool = False, images: bool = True) -> Iterator[Dockerd]:
    """Run an engine for a fixture; its tests are skipped, with the reason, where none can start."""
    with ExitStack() as stack:
        try:
            engine = stack.enter_context(run_dockerd(*options, networks=networks, images=images))
        except EngineAbsentError as error:
            pytest.skip(str(error))
        yield engine
