"""Real Ray on this machine: a head and a second node with GPUs that are declared, of an address of loopback each."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from shutil import rmtree
from time import monotonic, sleep
from typing import Any

import psutil

from .servers import free_ports

__all__ = ["RayCluster", "missing_ray", "shared_ray"]

_VENV = Path(os.environ.get("SHUNTER_TEST_RAY", Path(__file__).parents[2] / ".venv-ray"))
_WITHIN = 120.0
"""Seconds that a start may take on a machine where much else runs."""


def missing_ray() -> str:
    """Say why Ray cannot be tried here, or nothing."""
    return "" if (_VENV / "bin" / "ray").exists() else f"no Ray in {_VENV}: `make engines` installs it"


@dataclass(frozen=True, slots=True)
class RayCluster:
    """A cluster by its folder; each process that knows the folder may start and kill its nodes."""

    folder: str
    network: str
    """The first three numbers of the nodes' addresses."""
    gcs: int
    dashboard: int
    client: int
    agent: int
    token: str

    @classmethod
    def make(cls) -> RayCluster:
        """Choose a folder, addresses and ports; nothing runs yet."""
        gcs, dashboard, client, agent = free_ports(4)
        network = f"127.{secrets.randbelow(200) + 20}.{secrets.randbelow(250) + 1}"
        folder = tempfile.mkdtemp(prefix="ray-", dir=tempfile.gettempdir())
        cluster = cls(folder, network, gcs, dashboard, client, agent, secrets.token_urlsafe(24))
        cluster.token_file.write_text(cluster.token + "\n", encoding="utf-8")
        return cluster

    @property
    def url(self) -> str:
        """Return where it answers."""
        return f"http://127.0.0.1:{self.dashboard}"

    @property
    def token_file(self) -> Path:
        """Return the file with the token that it asks for."""
        return Path(self.folder, "token")

    @property
    def logs(self) -> Path:
        """Return where its nodes write what they do."""
        return Path(self.folder, "r", "session_latest", "logs")

    def settings(self) -> dict[str, Any]:
        """Return what a site says of it below `ray`."""
        models = {"A100": {"labels": {"gpu-type": "A100"}, "resources": {"A100": 1}, "memory": 40 * 2**30}}
        return {
            "address": self.url,
            "token_file": str(self.token_file),
            "gpu_models": models,
            "stop_within": 5,
            "looks_every": 0.5,
        }

    def start_head(self) -> None:
        """Start the head: 4 cores and 2 GPUs without a name."""
        # Otherwise the second node, which is on the same machine here, would pass for a head that runs already.
        Path(self.folder, "r", "ray_current_cluster").unlink(missing_ok=True)
        self._start(
            "head",
            *("--head", f"--port={self.gcs}", "--dashboard-host=127.0.0.1", f"--dashboard-port={self.dashboard}"),
            *(f"--node-ip-address={self.network}.2", "--num-cpus=4", "--num-gpus=2", "--include-log-monitor=false"),
            *(f"--temp-dir={self.folder}/r", f"--ray-client-server-port={self.client}"),
        )

    def start_second(self) -> None:
        """Start the other node: 4 cores and 4 GPUs that are said to be A100."""
        self._start(
            "second",
            *(f"--address={self.network}.2:{self.gcs}", f"--node-ip-address={self.network}.3", "--num-cpus=4"),
            *("--num-gpus=4", '--resources={"A100": 4}', "--labels=gpu-type=A100", "--include-log-monitor=false"),
        )

    def kill(self, node: str) -> None:
        """Kill every process of a node at once, as a power cut would."""
        session = Path(self.folder, node)
        for process in self._processes(int(session.read_text(encoding="utf-8")) if session.exists() else -1):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        session.unlink(missing_ok=True)

    def is_below(self, node: str, process: psutil.Process) -> bool:
        """Say whether a process was started by a node."""
        session = int(Path(self.folder, node).read_text(encoding="utf-8"))
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            return any(os.getsid(parent.pid) == session for parent in process.parents())
        return False

    def close(self) -> None:
        """Kill it and remove its folder."""
        for node in ("second", "head"):
            self.kill(node)
        rmtree(self.folder, ignore_errors=True)

    def _start(self, node: str, *arguments: str) -> None:
        command = [str(_VENV / "bin" / "ray"), "start", *arguments, "--object-store-memory=100000000"]
        command += ["--disable-usage-stats", "--min-worker-port=0", "--max-worker-port=0"]
        # Its usual port is one of those that connections take; without this agent no job can be submitted.
        command += [f"--dashboard-agent-listen-port={self.agent}"]
        with Path(self.folder, f"{node}.log").open("ab") as log:
            process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self._env(), start_new_session=True
            )
            Path(self.folder, node).write_text(str(process.pid), encoding="utf-8")
            if process.wait(_WITHIN):
                raise RuntimeError(Path(self.folder, f"{node}.log").read_text(encoding="utf-8"))

    def _env(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "SHUNTER_"))}
        return kept | {
            "PATH": f"{_VENV / 'bin'}:{os.environ['PATH']}",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self.token,
            "RAY_health_check_initial_delay_ms": "1000",
            "RAY_health_check_period_ms": "1000",
            "RAY_health_check_timeout_ms": "1000",
            "RAY_health_check_failure_threshold": "3",
        }

    @staticmethod
    def _processes(session: int) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            with suppress(ProcessLookupError, psutil.NoSuchProcess):
                if os.getsid(process.pid) == session:
                    found.append(process)
        return found


@contextmanager
def shared_ray(base: Path, word: str = "ray") -> Iterator[RayCluster]:
    """Give the one cluster that all processes of this run of tests share; it goes when the last one lets go of it.

    *base* is pytest's folder for this process; by another *word* one has another cluster.
    """
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / word
    folder.mkdir(exist_ok=True)
    with (folder / "users").open("a") as users:
        with (folder / "starting").open("a") as starting:
            fcntl.flock(starting, fcntl.LOCK_EX)
            fcntl.flock(users, fcntl.LOCK_SH)
            cluster = _told(folder) or _held(folder)
        yield cluster


def _told(folder: Path) -> RayCluster | None:
    told = folder / "cluster.json"
    return RayCluster(**json.loads(told.read_text(encoding="utf-8"))) if told.exists() else None


def _held(folder: Path) -> RayCluster:
    """Start a process of its own that holds the cluster, so that it outlives whoever asked for it first."""
    failed = folder / "failed"
    failed.unlink(missing_ok=True)
    command = ["setsid", "--fork", sys.executable, "-m", "tests.support.ray_cluster", str(folder)]
    subprocess.run(command, cwd=Path(__file__).parents[2], stdin=subprocess.DEVNULL, check=True)
    until = monotonic() + 2 * _WITHIN
    while not (cluster := _told(folder)):
        if failed.exists() or monotonic() > until:
            raise RuntimeError(failed.read_text(encoding="utf-8") if failed.exists() else "Ray does not start")
        sleep(0.1)
    return cluster


def _hold(folder: Path) -> None:
    """Run a cluster until nobody uses it any more, also if all users were killed."""
    cluster = RayCluster.make()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        cluster.start_head()
        cluster.start_second()
        (folder / "new").write_text(json.dumps(asdict(cluster)), encoding="utf-8")
        (folder / "new").rename(folder / "cluster.json")
        with (folder / "users").open("a") as users:
            fcntl.flock(users, fcntl.LOCK_EX)
            (folder / "cluster.json").unlink()
            cluster.close()
    except Exception as error:
        (folder / "failed").write_text(str(error), encoding="utf-8")
        raise
    finally:
        cluster.close()


if __name__ == "__main__":
    _hold(Path(sys.argv[1]))
