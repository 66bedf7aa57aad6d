"""The accounting of a real Slurm: slurmdbd on a MariaDB of the test's own."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from .servers import free_ports
from .slurm_cluster import SlurmCluster, needs_slurm, run_slurm, until

__all__ = ["needs_accounting", "run_slurm_with_accounting"]

needs_accounting = pytest.mark.skipif(
    bool(needs_slurm.args[0]) or not all(shutil.which(name) for name in ("slurmdbd", "mariadbd", "mariadb-install-db")),
    reason="slurmdbd and a MariaDB (the Debian packages slurmdbd and mariadb-server) are not installed here",
)
"""Marks a test that runs them."""

_CONF = """\
AuthType=auth/none
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={daemon}
SlurmUser=root
LogFile={folder}/slurmdbd.log
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={database}
StorageUser=slurm
StoragePass=x
StorageLoc=slurm_acct_db
"""

_LINES = """\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={daemon}
AccountingStorageTRES=gres/gpu
AccountingStorageEnforce=associations,limits,qos
"""

_USER = """\
create database slurm_acct_db;
create user slurm@localhost identified by 'x'; grant all on slurm_acct_db.* to slurm@localhost;
create user slurm@127.0.0.1 identified by 'x'; grant all on slurm_acct_db.* to slurm@127.0.0.1;
"""

_ACCOUNTS = (
    ("add", "cluster", "test"),
    ("add", "account", "lab", "Description=lab", "Organization=lab"),
    ("add", "account", "other", "Description=other", "Organization=other"),
    ("add", "qos", "fast"),
    ("add", "user", "root", "Account=lab", "QOS=normal,fast"),
)


async def _run(*argv: str, stdin: str = "", **env: str) -> None:
    child = await asyncio.create_subprocess_exec(
        *argv,
        env=os.environ | env,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await child.communicate(stdin.encode())
    if child.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)}: {out.decode()}")


@asynccontextmanager
async def _serve(log: Path, *argv: str, **env: str) -> AsyncIterator[None]:
    with log.open("ab") as out:
        child = await asyncio.create_subprocess_exec(
            *argv, env=os.environ | env, stdout=out, stderr=out, start_new_session=True
        )
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        await child.wait()


async def _works(*argv: str, **env: str) -> bool:
    with suppress(RuntimeError):
        await _run(*argv, **env)
        return True
    return False


@asynccontextmanager
async def run_slurm_with_accounting(folder: Path, *, more: str = "") -> AsyncIterator[SlurmCluster]:
    """Run a cluster with slurmdbd: the account `lab` and the QOS `fast` are ours, `other` is not. It takes 4 s."""
    daemon, database = free_ports(2)
    data, socket = folder / "data", folder / "my.sock"
    (folder / "slurmdbd.conf").write_text(_CONF.format(folder=folder, daemon=daemon, database=database))
    (folder / "slurmdbd.conf").chmod(0o600)
    (folder / "slurm.conf").write_text(
        f"ClusterName=test\nSlurmctldHost=localhost\nAuthType=auth/none\n{_LINES.format(daemon=daemon)}"
    )
    env = {"SLURM_CONF": str(folder / "slurm.conf")}
    install = ("mariadb-install-db", "--user=root", "--skip-test-db", "--auth-root-authentication-method=normal")
    await _run(*install, f"--datadir={data}")
    mariadb = ("mariadb", "-uroot", f"--socket={socket}")
    flags = ("--bind-address=127.0.0.1", "--innodb-buffer-pool-size=64M", "--innodb-flush-log-at-trx-commit=0")
    server = ("mariadbd", "--no-defaults", "--user=root", f"--datadir={data}", f"--port={database}", *flags)
    async with _serve(folder / "mariadb.log", *server, f"--socket={socket}"):
        await until(lambda: _works(*mariadb, "-e", "select 1"))
        await _run(*mariadb, stdin=_USER)
        async with _serve(folder / "slurmdbd.out", "slurmdbd", "-D", **env):
            await until(lambda: _works("sacctmgr", "-i", *_ACCOUNTS[0], **env))
            for words in _ACCOUNTS[1:]:
                await _run("sacctmgr", "-i", *words, **env)
            async with run_slurm(more=_LINES.format(daemon=daemon) + more, completions=False) as cluster:
                yield cluster
