"""A real Slurm of the test's own: a controller and two nodes with GPUs, in one folder and on ports of its own."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import stat
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, time

import pytest

from services.scheduler.backends.engines.slurm.settings import SlurmSettings

from .servers import free_ports

__all__ = ["NODES", "SlurmCluster", "needs_slurm", "run_slurm", "skip_without_slurm", "until"]

NODES = ("n1", "n2")

_CAN_RUN = os.geteuid() == 0 and all(shutil.which(name) for name in ("slurmctld", "slurmd", "sbatch"))
_WHY_NOT = "Slurm (the Debian packages slurm-wlm and munge) is not installed here, or we are not root"

needs_slurm = pytest.mark.skipif(not _CAN_RUN, reason=_WHY_NOT)
"""Marks a test that runs one."""


_CONF = """\
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={controller}
SlurmUser=root
SlurmdUser=root
AuthType=auth/none
CredType=cred/none
AuthAltTypes=auth/jwt
AuthAltParameters=jwt_key={folder}/state/jwt.key
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdSpoolDir={folder}/spool.%n
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmdLogFile={folder}/slurmd.%n.log
SlurmdParameters=config_overrides
MpiDefault=none
ReturnToService=2
SwitchType=switch/none
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=2
PreemptType=preempt/partition_prio
PreemptMode=CANCEL
KillWait=2
SlurmdTimeout=5
MessageTimeout=3
DefMemPerCPU=100
MaxArraySize=1001
NodeName=n1 NodeHostname=localhost NodeAddr=127.0.0.1 Port={first} CPUs=4 RealMemory=4000 Gres=gpu:a100:2 Feature=ib
NodeName=n2 NodeHostname=localhost NodeAddr=127.0.0.1 Port={second} CPUs=4 RealMemory=4000 Gres=gpu:a100:2
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=short Nodes=n1,n2 MaxTime=10 State=UP PriorityTier=1
PartitionName=urgent Nodes=n1,n2 State=UP PriorityTier=10
PartitionName=closed Nodes=n1,n2 State=DOWN
"""

_GRES = "AutoDetect=off\nNodeName=n[1-2] Name=gpu Type=a100 File={folder}/dev/gpu[0-1]\n"

_COMPLETIONS = "AccountingStorageType=accounting_storage/none\nJobCompType=jobcomp/filetxt\nJobCompLoc={folder}/ended\n"


@dataclass
class SlurmCluster:
    """It can be crashed and started again in parts."""

    folder: Path
    conf: Path
    running: dict[str, asyncio.subprocess.Process] = field(default_factory=dict)

    @property
    def work(self) -> Path:
        """Return the folder that all nodes see."""
        return self.folder / "work"

    def settings(self, **more: object) -> SlurmSettings:
        """Return the settings that reach it by its commands."""
        values: dict[str, object] = {
            "conf": str(self.conf),
            "work": str(self.work),
            "python": str(Path(sys.executable).resolve()),  # the one in PATH may be a script that looks for it first
        }
        return SlurmSettings.model_validate(values | more)

    async def call(self, *argv: str, stdin: str = "") -> str:
        """Call one of Slurm's commands, as an admin does."""
        child = await asyncio.create_subprocess_exec(
            *argv,
            env=os.environ | {"SLURM_CONF": str(self.conf)},
            cwd=self.folder,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await child.communicate(stdin.encode())
        if child.returncode != 0:
            raise RuntimeError(f"{' '.join(argv)}: {err.decode()}")
        return out.decode()

    async def start_controller(self, *flags: str) -> None:
        """Start slurmctld; returns when it answers."""
        await self._start("slurmctld", "slurmctld", "-D", "-f", str(self.conf), *flags)
        await until(self._answers)

    async def start_node(self, name: str) -> None:
        """Start the slurmd of a node; returns when the controller has it."""
        await self._start(name, "slurmd", "-D", "-f", str(self.conf), "-N", name)
        await until(lambda: self._is_up(name))

    async def kill(self, name: str) -> None:
        """Crash a part: `slurmctld` or a node. Jobs of a node live on without it."""
        process = self.running.pop(name)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()

    async def _start(self, name: str, *argv: str, **env: str) -> None:
        with (self.folder / f"{name}.out").open("ab") as log:
            self.running[name] = await asyncio.create_subprocess_exec(
                *argv,
                env=os.environ | {"SLURM_CONF": str(self.conf)} | env,
                cwd=self.folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    async def start_rest(self, listen: str, *flags: str) -> None:
        """Start slurmrestd on `unix:/…` or `127.0.0.1:…`."""
        env = {"SLURMRESTD_SECURITY": "disable_user_check", "SLURM_JWT": "daemon" if "rest_auth/jwt" in flags else ""}
        argv = ("slurmrestd", "-f", str(self.conf), "-s", "openapi/v0.0.38", *flags, listen)
        await self._start("slurmrestd", *argv, **{name: value for name, value in env.items() if value})
        host, _, port = listen.partition(":")

        async def listens() -> bool:
            with suppress(OSError):
                opening = asyncio.open_unix_connection(port) if host == "unix" else asyncio.open_connection(host, port)
                _, writer = await opening
                writer.close()
                return True
            return False

        await until(listens)

    async def _answers(self) -> bool:
        if self.running["slurmctld"].returncode is not None:
            raise RuntimeError(f"slurmctld ended: {(self.folder / 'slurmctld.out').read_text()[-2000:]}")
        with suppress(RuntimeError):
            return "UP" in await self.call("scontrol", "ping")
        return False

    async def _is_up(self, name: str) -> bool:
        if self.running[name].returncode is not None:
            raise RuntimeError(f"slurmd ended: {(self.folder / f'{name}.out').read_text()[-2000:]}")
        state = await self.call("sinfo", "--noheader", "--nodes", name, "--partition=main", "--format=%T")
        return state.strip() in {"idle", "mixed", "allocated"}

    async def saved(self) -> None:
        """Wait until the controller has written down what it knows; what is newer is lost when it crashes.

        It writes what has changed every five seconds, and at once where it wrote nothing for so long: so we change
        something, and after our change is written there are some seconds in which nothing is.
        """
        last, begun = self.folder / "state" / "job_state", time()
        mark = await self.call("sbatch", "--parsable", "--hold", "--output=/dev/null", "--wrap=true")
        await until(lambda: last.exists() and last.stat().st_mtime > begun)
        await self.call("scancel", mark.strip())

    async def clear(self) -> None:
        """End every job, and wait until none is left."""
        await self.call("scancel", "--me")

        async def is_empty() -> bool:
            return not await self.call("squeue", "--noheader")

        await until(is_empty)

    async def close(self) -> None:
        """End all jobs and all parts."""
        with suppress(RuntimeError, TimeoutError):
            await self.clear()
        for name in list(self.running):
            await self.kill(name)


def skip_without_slurm() -> None:
    """Skip where it cannot run, from within a fixture."""
    if not _CAN_RUN:
        pytest.skip(_WHY_NOT)


async def until(holds: Callable[[], object], *, within: float = 60.0) -> None:
    """Wait until *holds* does; it may be a coroutine function."""
    end = monotonic() + within
    while True:
        found = holds()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return
        if monotonic() > end:
            raise TimeoutError(f"did not come true within {within:g} s")
        await asyncio.sleep(0.05)


def _write(folder: Path, more: str) -> Path:
    controller, first, second = free_ports(3)
    for name in ("state", "dev", "work"):
        (folder / name).mkdir()
    for number in range(2):
        os.mknod(folder / "dev" / f"gpu{number}", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    key = folder / "state" / "jwt.key"
    key.write_bytes(os.urandom(32))
    key.chmod(0o600)
    (folder / "gres.conf").write_text(_GRES.format(folder=folder))
    conf = folder / "slurm.conf"
    conf.write_text(_CONF.format(folder=folder, controller=controller, first=first, second=second) + more)
    return conf


@asynccontextmanager
async def run_slurm(*, more: str = "", completions: bool = True) -> AsyncIterator[SlurmCluster]:
    """Run a cluster; *more* are further lines of its configuration. It is up in about a second.

    With *completions* the controller keeps a file of ended jobs, which `sacct --completion` reads.
    """
    folder = Path(tempfile.mkdtemp(prefix="shunter-slurm-"))
    kept = _COMPLETIONS.format(folder=folder) if completions else ""
    cluster = SlurmCluster(folder, _write(folder, kept + more))
    try:
        await cluster.start_controller("-c")
        await asyncio.gather(*(cluster.start_node(name) for name in NODES))
        yield cluster
    finally:
        await cluster.close()
        shutil.rmtree(folder, ignore_errors=True)
