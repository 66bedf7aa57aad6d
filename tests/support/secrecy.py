"""Where a word is found on a machine on which a stack runs: what must be kept secret is to be found nowhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.support.cluster_site import ClusterSite

__all__ = ["check_secrets", "pilot_secrets"]

_CONFIGURATION = frozenset({"shunter.yaml", "demo.json"})
"""What a site says itself, in files that only its user reads."""
_CHUNK = 2**22
_CLUSTER = "cluster"
"""What the cluster wrote itself."""
_SHOULD_SEE = frozenset({"argv", "db", "nats"})
"""Where a word gets to that stands in the command of a job that runs; its id gets to Temporal too."""


def check_secrets(site: ClusterSite, *secrets: str, logs: Path | None = None) -> None:
    """Run a job, and look for its pilot's secrets and for *secrets* in argv, logs, tables, streams and histories.

    *logs* is where the cluster keeps its own, with the commands of the jobs that it ran.
    A word in the job's own command shows that all of them are looked into; the job prints its environment.
    """
    word = f"no-secret-{time.monotonic_ns()}"
    job = site.submit("sh", "-c", f"echo {word}; env; sleep 600; : {word}")
    try:
        site.until(job, "running")
        _wait_until_seen(site, word, _SHOULD_SEE)
        _wait_until_seen(site, job, frozenset({"temporal"}))
        _wait_until_seen(site, "level", frozenset({"logs"}))
        if logs:
            _wait_until_seen(site, "SHUNTER_PILOT_URL", frozenset({_CLUSTER}), logs)
        tokens = pilot_secrets(site)
        assert tokens, "no pilot runs on this machine"
        for secret in (*tokens, *secrets):
            assert not (places := set(_places(site, secret, logs))), f"a secret got out: {places}"
    finally:
        site.cancel(job)
    site.ended(job)
    for secret in (*tokens, *secrets):
        assert not (places := set(_places(site, secret, logs))), f"a secret got out at the end: {places}"


def pilot_secrets(site: ClusterSite) -> set[str]:
    """Return tokens and signed addresses of the site's pilots here, from environments that only their user may read."""
    nats = ":" + site.stack.ready["parts"]["nats"]["url"].rpartition(":")[2]
    found = set()
    for process in psutil.process_iter():
        try:
            said = process.environ()
        except psutil.Error:
            continue
        if said.get("SHUNTER_NATS_URL", "").endswith(nats):
            found |= {said.get("SHUNTER_PILOT_TOKEN", ""), said.get("SHUNTER_PILOT_URL", "")}
    return found - {""}


def _wait_until_seen(site: ClusterSite, word: str, kinds: frozenset[str], logs: Path | None = None) -> None:
    until = time.monotonic() + 20
    while missing := kinds - {kind for kind, _ in _places(site, word, logs)}:
        assert time.monotonic() < until, f"nothing is found in {missing}: the search is worth nothing"
        time.sleep(0.2)


def _places(site: ClusterSite, word: str, logs: Path | None) -> Iterator[tuple[str, str]]:
    """Say what sort of place a word is in, and which."""
    for process in psutil.process_iter():
        try:
            if any(word in argument for argument in process.cmdline()):
                yield "argv", str(process.pid)
        except psutil.Error:
            continue
    data = site.stack.data
    for path in data.rglob("*"):
        if path.is_file() and path.name not in _CONFIGURATION and _holds(path, word.encode()):
            yield path.relative_to(data).parts[0], str(path)
    for path in logs.rglob("*") if logs else ():
        if path.is_file() and _holds(path, word.encode()):
            yield _CLUSTER, str(path)


def _holds(path: Path, word: bytes) -> bool:
    try:
        with path.open("rb") as file:
            tail = b""
            while chunk := file.read(_CHUNK):
                if word in tail + chunk:
                    return True
                tail = chunk[-len(word) :]
    except OSError:
        return False
    return False
