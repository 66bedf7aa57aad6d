"""A real sshd of the test's own, with one key that it takes."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from .servers import free_ports
from .slurm_cluster import until

__all__ = ["SshServer", "needs_sshd", "run_sshd"]

_SSHD = shutil.which("sshd", path="/usr/sbin:/sbin:/usr/local/sbin")

needs_sshd = pytest.mark.skipif(_SSHD is None, reason="sshd (the Debian package openssh-server) is not installed here")
"""Marks a test that runs one."""

_CONF = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
PidFile none
AuthorizedKeysFile {folder}/authorized
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
StrictModes no
UsePAM no
"""


@dataclass
class SshServer:
    """Where it listens, and for whom."""

    settings: dict[str, Any]
    """As a site writes them."""
    pid: int

    async def drop_connections(self) -> None:
        """Cut all connections, as a restart of the login node does."""
        for child in _children(self.pid):
            os.kill(child, signal.SIGKILL)
        await asyncio.sleep(0.1)


def _write(folder: Path) -> dict[str, Any]:
    (port,) = free_ports(1)
    Path("/run/sshd").mkdir(exist_ok=True)  # where Debian's sshd goes with what it does not trust
    host, user = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    for name, key in (("host", host), ("user", user)):
        (folder / name).touch(mode=0o600)
        (folder / name).write_bytes(key.export_private_key())
    (folder / "authorized").write_bytes(user.export_public_key())
    (folder / "known").write_text(f"[127.0.0.1]:{port} {host.export_public_key().decode()}")
    (folder / "sshd_config").write_text(_CONF.format(port=port, folder=folder))
    name = pwd.getpwuid(os.geteuid()).pw_name
    keys = {"key": str(folder / "user"), "known_hosts": str(folder / "known")}
    return {"host": "127.0.0.1", "port": port, "user": name, **keys}


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@asynccontextmanager
async def run_sshd(folder: Path) -> AsyncIterator[SshServer]:
    """Run it for the user who runs the tests."""
    settings = _write(folder)
    with (folder / "log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            str(_SSHD), "-D", "-e", "-f", str(folder / "sshd_config"), stdout=log, stderr=log, start_new_session=True
        )

    async def listens() -> bool:
        if process.returncode is not None:
            raise RuntimeError((folder / "log").read_text())
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", settings["port"])
            writer.close()
            return True
        return False

    try:
        await until(listens)
        yield SshServer(settings, process.pid)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
