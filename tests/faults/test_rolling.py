"""Every service is restarted, one after another, under load: no request fails but by a 503 that says when to return."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

from tests.faults.drill import Drill
from tests.support.fault_stack import FaultStack, await_that


@dataclass
class _Load:
    """Users who submit, read and list all the time."""

    url: str
    headers: dict[str, str]
    jobs: list[str] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        # A connection for each request: a balancer gives each to a gateway that lives.
        limits = httpx.Limits(max_keepalive_connections=0)
        with httpx.Client(
            base_url=self.url, headers=self.headers, timeout=20, trust_env=False, limits=limits
        ) as client:
            while not self.stop.is_set():
                submitted = self._ask(client, "POST", "/v1/jobs", json={"argv": ["true"]})
                if submitted is not None and submitted.is_success:
                    self.jobs.append(submitted.json()["id"])
                    self._ask(client, "GET", f"/v1/jobs/{self.jobs[-1]}")
                self._ask(client, "GET", "/v1/jobs", params={"limit": 5})
                self._ask(client, "GET", "/v1/files")
                self._ask(client, "GET", "/v1/usage")

    def _ask(self, client: httpx.Client, method: str, path: str, **more: object) -> httpx.Response | None:
        try:
            answer = client.request(method, path, **more)  # type: ignore[arg-type]
        except httpx.TransportError as error:
            self.failures.append(f"{method} {path}: {error!r}")
            return None
        self.statuses[answer.status_code] += 1
        if not answer.is_success and not (answer.status_code == 503 and "retry-after" in answer.headers):
            self.failures.append(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
        return answer


@contextmanager
def _load(stack: FaultStack, url: str) -> Iterator[_Load]:
    load = _Load(url, dict(stack.client().headers))
    threads = [threading.Thread(target=load.run) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        load.stop.set()
        for thread in threads:
            thread.join()


def _restart(stack: FaultStack, name: str) -> float:
    stack.terminate(name)
    taken = stack.await_ends()[name]
    stack.start(name)
    return taken


def test_a_rolling_restart_fails_no_request(fault_stack: FaultStack, drill: Drill) -> None:
    balancer = f"http://127.0.0.1:{fault_stack.proxy.add('balancer', fault_stack.port)}"
    drains: dict[str, float] = {}
    with _load(fault_stack, balancer) as load:
        await_that(lambda: len(load.jobs) >= 3, "the load to begin")
        for name in ("scheduler", "storage", "accounting", "runner"):
            drains[name] = _restart(fault_stack, name)
            before = len(load.jobs)
            await_that(lambda before=before: len(load.jobs) > before, "work to go on")  # type: ignore[misc]
        twin = fault_stack.start_twin("gateway")
        fault_stack.proxy.aim("balancer", fault_stack.parts[twin]["port"])
        drains["gateway"] = _restart(fault_stack, "gateway")
        fault_stack.proxy.aim("balancer", fault_stack.port)
        fault_stack.terminate(twin)
        drains |= fault_stack.await_ends()
    assert load.failures == []
    assert load.statuses[200] + load.statuses[201] > 0
    assert fault_stack.overdue == [], drains
    for job in load.jobs:
        drill.adopt("owner", job)
    outcome = drill.reckon()
    assert outcome.broken == [], "\n".join(outcome.broken)
