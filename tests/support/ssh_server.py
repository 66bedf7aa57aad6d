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

    folder: Path
    settings: dict[str, Any]
    """As a site writes them."""
    process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """Return the server that listens; each connection has one of its own."""
        assert self.process is not None
        return self.process.pid

    async def start(self) -> None:
        """Start it; returns when it listens."""
        with (self.folder / "log").open("ab") as log:
            argv = (str(_SSHD), "-D", "-e", "-f", str(self.folder / "sshd_config"))
            self.process = await asyncio.create_subprocess_exec(*argv, stdout=log, stderr=log, start_new_session=True)
        await until(self._listens)

    async def stop(self) -> None:
        """End it with its connections, as the end of a login node does."""
        if self.process is not None:
            await self.drop_connections()
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            await self.process.wait()
            self.process = None

    async def drop_connections(self) -> None:
        """Cut all connections; what was called lives on without them."""
        children = _children(self.pid)
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        await until(lambda: not any(_holds_sockets(child) for child in children))
        await asyncio.sleep(0.1)

    def renew_host_key(self) -> str:
        """Give it another key; returns the line by which it is known from now on."""
        key = asyncssh.generate_private_key("ssh-ed25519")
        (self.folder / "host").write_bytes(key.export_private_key())
        return f"[127.0.0.1]:{self.settings['port']} {key.export_public_key().decode()}"

    def renew_user_key(self) -> bytes:
        """Have it take another key of the user's only; returns that."""
        key = asyncssh.generate_private_key("ssh-ed25519")
        (self.folder / "authorized").write_bytes(key.export_public_key())
        return key.export_private_key()

    async def _listens(self) -> bool:
        if self.process is None or self.process.returncode is not None:
            raise RuntimeError((self.folder / "log").read_text())
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", self.settings["port"])
            writer.close()
            return True
        return False


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


def _holds_sockets(pid: int) -> bool:
    """Say whether a process that was killed has not come to its end: one that is a zombie has closed all it had."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@asynccontextmanager
async def run_sshd(folder: Path) -> AsyncIterator[SshServer]:
    """Run it for the user who runs the tests."""
    server = SshServer(folder, _write(folder))
    try:
        await server.start()
        yield server
    finally:
        await server.stop()
