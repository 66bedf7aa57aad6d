"""A real registry of images on this machine, with or without a password."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from .servers import free_ports

__all__ = ["LOGIN", "Registry", "needs_registry", "run_registry"]

needs_registry = pytest.mark.skipif(
    shutil.which("docker-registry") is None, reason="docker-registry is not installed here (deploy/engines/apt.txt)"
)
"""Marks a test that runs one."""

LOGIN = {"username": "ada", "password": "registry-secret"}
_HASHED = "ada:$2b$04$6O.Lx7wKxkVkbQYiKoWN6evBP0ZdJr1Bo2cd6XWvbH0mTyagPE6yC"


@dataclass
class Registry:
    """One that can be away for a while."""

    folder: Path
    port: int
    _process: asyncio.subprocess.Process | None = None

    @property
    def address(self) -> str:
        """Return what names of its images begin with."""
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Begin to serve."""
        self._process = await asyncio.create_subprocess_exec(
            *("docker-registry", "serve", str(self.folder / "registry.yml")),
            env={"PATH": os.environ["PATH"]},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        async with httpx.AsyncClient() as client, asyncio.timeout(20):
            while not await _answers(client, f"http://{self.address}/v2/"):
                assert self._process.returncode is None, "the registry does not start"
                await asyncio.sleep(0.05)

    async def stop(self) -> None:
        """Be away."""
        if self._process is not None:
            self._process.kill()
            await self._process.wait()
            self._process = None


async def _answers(client: httpx.AsyncClient, url: str) -> bool:
    try:
        await client.get(url)
    except httpx.TransportError:
        return False
    return True


@asynccontextmanager
async def run_registry(folder: Path) -> AsyncIterator[Registry]:
    """Run one that knows `LOGIN` and lets in nobody else."""
    (port,) = free_ports(1)
    _write(folder, port)
    registry = Registry(folder, port)
    await registry.start()
    try:
        yield registry
    finally:
        await registry.stop()


def _write(folder: Path, port: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "htpasswd").write_text(f"{_HASHED}\n")
    (folder / "registry.yml").write_text(
        f"""version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {folder}/images}}}}
http: {{addr: 127.0.0.1:{port}}}
auth: {{htpasswd: {{realm: tests, path: {folder}/htpasswd}}}}
"""
    )
