"""The stores of a production site, in containers built from what the machine has: NATS thrice, PostgreSQL, S3.

One set serves all processes of a test run: each test has an account of NATS, databases and buckets of its own there.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import sysconfig
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .docker_engine import Dockerd, EngineAbsentError, run_dockerd
from .docker_images import make_server_image
from .servers import S3, free_ports

if TYPE_CHECKING:
    from testcontainers.core.container import DockerContainer

__all__ = ["ACCOUNTS", "POSTGRES", "Places", "StoreContainers"]

ACCOUNTS = 128
"""Accounts of NATS: those of tests that are over are used again."""
POSTGRES = Path("/usr/lib/postgresql")
"""Where Debian has its server and its tools."""
_IMAGE = "shunter-test/servers:1"
_POSTGRES_USER = "999"
_PORTS = 22_000
"""From here they have ports that no other server of a test gets: they are chosen before they are bound."""
_READY_WITHIN = 60.0


@dataclass(frozen=True, slots=True)
class Places:
    """Where they listen, as each process of a run is told before they do."""

    said: str
    """A file that comes when all are started: empty, or why they could not be."""
    nats: list[int]
    postgres: int
    s3: S3

    def dump(self) -> str:
        """Return it as a text."""
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, text: str) -> Places:
        """Read that text."""
        found = json.loads(text)
        return cls(**found | {"s3": S3(**found["s3"])})


class StoreContainers:
    """All of them, in an engine of their own. They start while the tests that need none run."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self._folder = Path(tempfile.mkdtemp(prefix="shunter-stores-"))
        self._open.callback(shutil.rmtree, self._folder, ignore_errors=True)
        self._ports = free_ports(12, at=_PORTS + os.getpid() * 13 % 600, below=_PORTS + 700)
        self._threads = ThreadPoolExecutor(6)
        self._starting: Future[None] | None = None
        s3 = S3(f"127.0.0.1:{self._ports[7]}", "admin", "test-secret-key")
        self.places = Places(str(self._folder / "said"), self._ports[:3], self._ports[6], s3)

    def start(self) -> None:
        """Begin to start them; raises `EngineAbsentError` where no engine can be."""
        try:
            if not any(POSTGRES.glob("*/bin/initdb")):
                raise EngineAbsentError("PostgreSQL's server is not installed here")  # noqa: TRY301
            engine = self._open.enter_context(run_dockerd(images=False))
        except BaseException:
            self.close()
            raise
        self._starting = self._threads.submit(self._bring, engine)

    def close(self) -> None:
        """Stop all of it."""
        if self._starting is not None:
            self._starting.exception()
        self._threads.shutdown()
        self._open.close()

    def _bring(self, engine: Dockerd) -> None:
        said = Path(self.places.said)
        try:
            self._start_all(engine)
        except Exception as error:
            said.with_suffix(".part").write_text(repr(error))
            raise
        else:
            said.with_suffix(".part").touch()
        finally:
            # Whoever sees the file sees all of it.
            said.with_suffix(".part").rename(said)

    def _start_all(self, engine: Dockerd) -> None:
        programs = {f"usr/bin/{name}": Path(sysconfig.get_path("scripts"), name) for name in ("nats-server", "weed")}
        with engine.client() as client:
            make_server_image(client, _IMAGE, programs, POSTGRES)
        run = _runner_on(engine)
        running = [self._threads.submit(run, *words) for words in (*self._nats(), self._postgres(), self._s3())]
        containers = [one.result() for one in running]
        try:
            self._await(containers)
        finally:
            for container in containers:
                container.get_docker_client().client.close()

    def _await(self, containers: list[DockerContainer]) -> None:
        """Wait until all listen; raises with the words of one that ended."""
        until = time.monotonic() + _READY_WITHIN
        missing = {*self._ports[:3], *self._ports[6:8]}
        while missing := {port for port in missing if not _listens(port)}:
            for container in containers:
                container.reload()
                if container.status != "running" or time.monotonic() > until:
                    said = b"".join(container.get_logs()).decode(errors="replace")
                    raise RuntimeError(f"{container._name} is {container.status}: {said[-500:]}")
            time.sleep(0.1)

    def _nats(self) -> list[tuple[str, str]]:
        routes = self._ports[3:6]
        peers = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes)
        accounts = "\n".join(f"T{n}:{{jetstream:enabled,users:[{{user:t{n},password:t{n}}}]}}" for n in range(ACCOUNTS))
        return [
            (
                f"nats{number}",
                (
                    f"cat >/tmp/nats.conf <<'END'\nserver_name: n{number}\nlisten: 127.0.0.1:{client}\n"
                    f"max_payload: 8MB\naccounts {{\n{accounts}\n}}\n"
                    f"jetstream {{ store_dir: /tmp/js, max_file_store: 100TB }}\n"
                    f"cluster {{ name: shunter, listen: 127.0.0.1:{route}, routes: [{peers}] }}\n"
                    "END\nexec nats-server -c /tmp/nats.conf"
                ),
            )
            for number, (client, route) in enumerate(zip(self._ports[:3], routes, strict=True))
        ]

    def _postgres(self) -> tuple[str, str, str]:
        script = (
            "b=$(echo /usr/lib/postgresql/*/bin) && $b/initdb -D /tmp/pg -U postgres -A trust -E UTF8"
            " --locale=C --no-sync >/dev/null && exec $b/postgres -D /tmp/pg -k /tmp -c max_connections=400"
            f" -c listen_addresses=127.0.0.1 -c port={self.places.postgres}"
            # A test's data may be lost with the machine.
            " -c fsync=off -c synchronous_commit=off -c full_page_writes=off -c wal_level=minimal -c max_wal_senders=0"
        )
        return "postgres", script, _POSTGRES_USER

    def _s3(self) -> tuple[str, str]:
        s3, (port, *_), (master, volume, filer, admin) = self.places.s3, self._ports[7:8], self._ports[8:]
        script = (
            f"mkdir -p /tmp/s3 && cd /tmp/s3 && export AWS_ACCESS_KEY_ID={s3.access_key}"
            f" AWS_SECRET_ACCESS_KEY={s3.secret_key} && exec weed mini -dir=/tmp/s3 -ip=127.0.0.1 -ip.bind=127.0.0.1"
            f" -s3.port={port} -master.port={master} -volume.port={volume} -filer.port={filer} -admin.port={admin}"
            " -admin.ui=false -webdav=false -s3.port.iceberg=0 -s3.port.lance=0"
        )
        return "s3", script


def _listens(port: int) -> bool:
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex(("127.0.0.1", port)) == 0


def _runner_on(engine: Dockerd) -> Callable[..., DockerContainer]:
    """Return what runs a script in a container with the machine's network; the engine's end is its end."""
    from testcontainers.core.config import testcontainers_config
    from testcontainers.core.container import DockerContainer

    # What would remove containers that were left comes in an image that nobody has here.
    testcontainers_config.ryuk_disabled = True
    where = {"environment": {"DOCKER_HOST": engine.url}}

    def run(name: str, script: str, user: str = "0") -> DockerContainer:
        container = DockerContainer(_IMAGE, docker_client_kw=where)
        container.with_name(f"{name}-{engine.word}").with_command(["/bin/sh", "-c", script])
        container.with_kwargs(network="host", user=user)
        if name != "s3":
            # It is in memory: no test waits for a disk.
            container.with_tmpfs_mount("/tmp")
        return container.start()

    return run
