"""DECODE's own calls through the dialect, beside the original in the same run where it is at hand."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import yaml

from bench.bulk import ask_bulk, form_of
from bench.ground import Ground, cpu_note, cpu_of
from bench.load import get, post, run_load
from bench.peers.bulk import run_bulk
from bench.peers.decode import FOLDER, find_original, run_decode
from bench.table import Figure, Row
from tests.support.stack import Stack, free_base

__all__ = ["ROW"]

_CLIENTS = 32
_MEGABYTES = 64
_PASSWORD = "Bench-0123456789"
_ZERO = 27.5
"""Seconds that a job of zero seconds took the original, whose worker waits for polls and pings."""

_FOLDER = {"SHUNTER_STORAGE__OBJECTS__KIND": "folder"}
"""A stack whose files lie in a folder, as the original's do here."""

_WRITTEN_DOWN = (106.0, 101.0, 1.1, 2.7)
"""What the original did when it was looked at: POST and GET of jobs per second, and 64 MB up and down per second."""

_APPLICATION = {
    "app": {"cmd": ["true"], "env": []},
    "handler": {
        "image_url": "none",
        "files_down": {"config_id": "config", "data_ids": "data", "artifact_ids": "artifact"},
        "files_up": {"output": "output"},
    },
    "aws_resources": {"hardware": {"MEMORY": 64, "VCPU": 1}, "timeout": 60},
}


@dataclass(frozen=True, slots=True)
class _Found:
    """What one side did."""

    posts: float
    gets: float
    up: float
    down: float
    """All per second."""


@dataclass(frozen=True, slots=True)
class _Side:
    """One of the two, which speak the same words."""

    root: str
    """Where the server is, without a path."""
    mount: str
    token: str

    @property
    def url(self) -> str:
        """Return where its API begins."""
        return self.root + self.mount

    @contextmanager
    def client(self) -> Iterator[httpx.Client]:
        """Return a client of its user's."""
        headers = {"Authorization": f"Bearer {self.token}"}
        with httpx.Client(headers=headers, timeout=120, trust_env=False, follow_redirects=True) as client:
            yield client


def _measure(ground: Ground) -> list[Figure]:
    seconds, rounds = ground.size(3, 1), ground.size(15, 3)
    with ground.own_stack() as stack:
        side = _ours(stack)
        zero = statistics.median(_zero(side, number) for number in range(rounds))
        ours = _drive(ground, side, seconds, stack.pids)
    with ground.own_stack(_FOLDER) as stack:
        up, down = _move(_ours(stack), ground.size(5, 1))
    _note_what_is_possible(ground)
    original = find_original()
    theirs = _Found(*_WRITTEN_DOWN) if original is None else _beside(ground, original, seconds)
    if original is None:
        ROW.notes.append(
            f"the original is not at hand ({FOLDER}): beside us stands what was written down of it, unjudged"
        )
    else:
        ROW.notes.append("the jobs of both sides lie in a queue for workers, who take none")

    def figure(what: str, mine: float, beside: float, limit: float) -> Figure:
        judged = None if original is None else limit
        return Figure(what, f"{mine:,.1f}/s", f"the original {beside:,.1f}/s", mine / beside, judged)

    return [
        figure(f"POST /jobs, {_CLIENTS} clients", ours.posts, theirs.posts, 10),
        figure(f"GET /jobs/{{id}}, {_CLIENTS} clients", ours.gets, theirs.gets, 5),
        Figure(
            "job of zero seconds", f"{zero * 1000:.0f} ms", f"the original {_ZERO} s, written down", _ZERO / zero, 20
        ),
        figure(f"upload of {_MEGABYTES} MB, files in S3", ours.up, theirs.up, 5),
        figure(f"download of {_MEGABYTES} MB, files in S3", ours.down, theirs.down, 5),
        figure(f"upload of {_MEGABYTES} MB, files in a folder", up, theirs.up, 5),
        figure(f"download of {_MEGABYTES} MB, files in a folder", down, theirs.down, 5),
    ]


def _ours(stack: Stack) -> _Side:
    offered = yaml.safe_load((stack.data / "application_config.yaml").read_text())
    _write(stack.data / "application_config.yaml", offered)
    return _enter(stack.url, "/decode")


def _note_what_is_possible(ground: Ground) -> None:
    """Note what the loader can do beside a server that does nothing else: no figure of ours can be better."""
    content = bytes(_MEGABYTES * 10**6)
    file = ground.folder / "bulk"
    file.write_bytes(content)
    kind, body = form_of({}, "big", content)
    up, down = [], []
    with run_bulk(file) as url:
        for _ in range(ground.size(5, 1)):
            began = time.perf_counter()
            ask_bulk("POST", url, {"content-type": kind}, body)
            middle = time.perf_counter()
            ask_bulk("GET", url, {})
            up.append(middle - began)
            down.append(time.perf_counter() - middle)
    what = f"a server that only sends and keeps files does {_MEGABYTES} MB"
    ROW.notes.append(f"{what} {1 / min(up):.1f} times a second up and {1 / min(down):.1f} down")


def _beside(ground: Ground, original: Path, seconds: float) -> _Found:
    applications = ground.folder / "application_config.yaml"
    _write(applications, {})
    with run_decode(original, ground.folder / "decode", free_base(), applications) as url:
        return _drive(ground, _enter(url, ""), seconds)


def _write(path: Path, offered: dict[str, object]) -> None:
    path.write_text(yaml.safe_dump({**offered, "bench": {"v1": {"true": _APPLICATION}}}, sort_keys=False))


def _enter(root: str, mount: str) -> _Side:
    """Make a user, log in, bring what a job needs, and wait until the application is offered."""
    user = {"username": "bench@example.org", "password": _PASSWORD}
    with httpx.Client(base_url=root + mount, timeout=60, trust_env=False) as client:
        client.post("/user", data={**user, "groups": "users"}).raise_for_status()
        token = client.post("/token", data=user).raise_for_status().json()["id_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        for kind in ("config", "data"):
            client.post(f"/files/{kind}/bench/upload", files={"file": ("a.yaml", b"a: 1\n")}).raise_for_status()
        until = time.monotonic() + 60
        while "bench" not in client.get("/jobs/applications").raise_for_status().json():
            assert time.monotonic() < until, "the application is not offered"
            time.sleep(0.1)
    return _Side(root, mount, token)


def _wish(name: str) -> bytes:
    return json.dumps(
        {
            "job_name": name,
            "environment": "local",
            "priority": 0,
            "application": {"application": "bench", "version": "v1", "entrypoint": "true"},
            "attributes": {
                "files_down": {"config_id": "bench", "data_ids": ["bench"], "artifact_ids": []},
                "env_vars": {},
            },
            "hardware": {"cpu_cores": None, "memory": None, "gpu_model": None, "gpu_archi": None, "gpu_mem": None},
        }
    ).encode()


def _zero(side: _Side, number: int) -> float:
    """Return the seconds from submit to `finished` of a job that does nothing."""
    with side.client() as client:
        began = time.perf_counter()
        headers = {"content-type": "application/json"}
        made = (
            client.post(f"{side.url}/jobs", content=_wish(f"zero-{number}"), headers=headers).raise_for_status().json()
        )
        while time.perf_counter() - began < 60:
            state = client.get(f"{side.url}/jobs/{made['id']}").raise_for_status().json()["status"]
            assert state != "error", "the job failed"
            if state == "finished":
                return time.perf_counter() - began
            time.sleep(0.005)
    raise AssertionError("the job did not end")


def _drive(ground: Ground, side: _Side, seconds: float, pids: dict[str, int] | None = None) -> _Found:
    up, down = _move(side, ground.size(5, 1))
    if pids:
        _greet(side)
    before = cpu_of(pids or {})
    made = run_load(
        side.root,
        lambda number: post(f"{side.mount}/jobs", _wish(f"many-{number}"), side.token),
        clients=_CLIENTS,
        seconds=seconds,
        keep=True,
    )
    names = [json.loads(body)["id"] for body in made.bodies]
    assert names, f"no job was taken: {made.bad}"
    assert len(set(names)) == len(names), "a number was given out twice"
    if pids:
        ROW.notes.append(cpu_note("POST", before, cpu_of(pids), len(names)))
    if made.bad:
        ROW.notes.append(f"{side.url or 'the original'}: POST answers that were not 2xx: {made.bad}")
    path = f"{side.mount}/jobs/{names[0]}"
    read = run_load(side.root, lambda _: get(path, side.token), clients=_CLIENTS, seconds=seconds)
    return _Found(made.rate, read.rate, up, down)


def _greet(side: _Side) -> None:
    """Log a worker in, for whom jobs are kept a while: so they lie in a queue, as at the original."""
    worker = {"username": "worker@example.org", "password": _PASSWORD}
    with side.client() as client:
        client.post(f"{side.url}/user", data={**worker, "groups": "workers"}).raise_for_status()
        client.post(f"{side.url}/token", data=worker).raise_for_status()


def _move(side: _Side, rounds: int) -> tuple[float, float]:
    """Return how often in a second 64 MB go up and come down, at best: as `.../url` says, which clients ask first."""
    content = bytes(_MEGABYTES * 10**6)
    up, down = [], []
    with side.client() as client:
        for _ in range(rounds):
            began = time.perf_counter()
            wish = client.post(f"{side.url}/files/data/big/url").raise_for_status().json()
            asked = time.perf_counter() - began
            kind, body = form_of(wish["data"], "big", content)  # ours to build: not counted
            began = time.perf_counter()
            ask_bulk(wish["method"].upper(), wish["url"], {**wish["headers"], "content-type": kind}, body)
            up.append(asked + time.perf_counter() - began)
            began = time.perf_counter()
            wish = client.get(f"{side.url}/files/data/big/big/url").raise_for_status().json()
            assert ask_bulk(wish["method"].upper(), wish["url"], wish["headers"]) == len(content)
            down.append(time.perf_counter() - began)
    return 1 / min(up), 1 / min(down)


ROW = Row("decode", "DECODE's calls through the dialect: jobs posted, read and run, files up and down", _measure)
