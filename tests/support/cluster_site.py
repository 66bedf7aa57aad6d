"""A whole stack, as `shunter up` starts it, with one more backend of any kind: for jobs through a real engine.

with cluster_site(tmp_path, {"kind": "slurm", "slurm": {...}}) as site:
    ended = site.run("sh", "-c", "echo hello")
    assert (ended["state"], site.log(ended)) == ("succeeded", b"hello\\n")
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.support.engines import ENTRIES
from tests.support.jobs import cancel, get, logs, submit, until, until_ended
from tests.support.stack import Stack, run_stack

__all__ = ["BACKEND", "ClusterSite", "cluster_site"]

BACKEND = "cluster"
"""The name of the backend under test."""

_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class ClusterSite:
    """A stack and a cluster."""

    stack: Stack

    @property
    def client(self) -> httpx.Client:
        """Return a user of it."""
        return self.stack.client("owner")

    def submit(self, *argv: str, **spec: Any) -> str:
        """Submit a job to the cluster; returns its id."""
        return submit(self.client, *argv, **{"placement": {"backend": BACKEND}, **spec})

    def until(self, job: str, *states: str, seconds: float = 60) -> dict[str, Any]:
        """Wait until a job is in one of *states*."""
        return until(self.client, job, *states, seconds=seconds)

    def ended(self, job: str, seconds: float = 60) -> dict[str, Any]:
        """Wait for the end of a job; returns its record."""
        return until_ended(self.client, job, seconds=seconds)

    def run(self, *argv: str, seconds: float = 60, **spec: Any) -> dict[str, Any]:
        """Run a job on the cluster to its end; returns its record."""
        return self.ended(self.submit(*argv, **spec), seconds)

    def get(self, job: str) -> dict[str, Any]:
        """Return the record of a job."""
        return get(self.client, job)

    def cancel(self, job: str) -> None:
        """Cancel a job."""
        cancel(self.client, job).raise_for_status()

    def log(self, job: Mapping[str, Any] | str, stream: str = "stdout") -> bytes:
        """Return what a job printed."""
        return logs(self.client, job if isinstance(job, str) else job["id"], stream)

    def put(self, path: str, content: bytes) -> None:
        """Keep a file of the user's."""
        self.client.put(f"/v1/files/{path}", content=content).raise_for_status()

    def file(self, path: str) -> bytes:
        """Return the content of a file of the user's."""
        return self.client.get(f"/v1/files/{path}", follow_redirects=True).raise_for_status().content


@contextmanager
def cluster_site(
    folder: Path,
    backend: Mapping[str, Any] | None,
    *options: str,
    scheduler: Mapping[str, Any] | None = None,
    others: Mapping[str, Mapping[str, Any]] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[ClusterSite]:
    """Run a stack whose second backend is *backend*: its `kind`, and what lies under that name; others by their names.

    *scheduler* is what else its section says, by name, such as `{"pilots": {"credentials": 5}}`.
    """
    clusters = {**({BACKEND: backend} if backend else {}), **(others or {})}
    backends = [{"name": "local", "kind": "local"}, *({"name": name, **found} for name, found in clusters.items())]
    said = {"BACKENDS": backends, **{name.upper(): value for name, value in (scheduler or {}).items()}}
    given = {f"SHUNTER_SCHEDULER__{name}": json.dumps(value) for name, value in said.items()} | dict(environment or {})
    # Engines of tests are offered as a site's own package offers one.
    given["PYTHONPATH"] = os.pathsep.join([str(_ROOT), str(ENTRIES)])
    with run_stack(folder, *options, environment=given) as stack:
        yield ClusterSite(stack)
