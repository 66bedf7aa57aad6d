"""What happens at the same moment: cancel and completion, two schedulers, followers that lose their connection."""

from __future__ import annotations

import threading
import time
from collections import Counter

import httpx

from tests.faults.drill import Drill
from tests.support.fault_stack import FaultStack, await_that


def test_a_cancel_that_races_with_completion_leaves_one_end(drill: Drill) -> None:
    for number in range(12):
        drill.submit("owner", "ok")
        time.sleep(number * 0.015)  # from before its start until after its end
        drill.cancel(number)
    outcome = drill.reckon()
    assert outcome.broken == [], "\n".join([*outcome.broken, *drill.trace])


def test_two_schedulers_at_once_run_each_job_once(fault_stack: FaultStack, drill: Drill) -> None:
    twin = fault_stack.start_twin("scheduler")
    try:
        for number in range(20):
            drill.submit("owner", "nap" if number % 2 else "flaky")
            if number == 12:
                fault_stack.kill("scheduler")
        outcome = drill.reckon()
    finally:
        fault_stack.terminate(twin)
        fault_stack.await_ends()
    assert outcome.broken == [], "\n".join([*outcome.broken, *drill.trace])


class _Follower:
    """Follows the event log; whenever it loses its connection it goes on from the last event that it saw."""

    def __init__(self, url: str, headers: dict[str, str], start: int) -> None:
        self.seen: list[int] = []
        self.connections = 0
        self._stop = threading.Event()
        self._start = start
        self._client = httpx.Client(base_url=url, headers=headers, timeout=5, trust_env=False)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            last = {"Last-Event-ID": str(self.seen[-1])} if self.seen else {}
            params: dict[str, str | int] = {"follow": "true", "since_sequence": self._start}
            try:
                with self._client.stream("GET", "/v1/events", params=params, headers=last) as answer:
                    self.connections += answer.status_code == 200
                    for line in answer.iter_lines():
                        name, _, value = line.partition(": ")
                        if name == "id":
                            self.seen.append(int(value))
                        if self._stop.is_set():
                            return
            except httpx.TransportError:
                time.sleep(0.05)

    def await_connections(self, count: int) -> None:
        """Wait until it has been there so often."""
        await_that(lambda: self.connections >= count, f"the follower to be there, {count} times")

    def stop(self) -> None:
        """Stop following."""
        self._stop.set()
        self._client.close()
        self._thread.join(20)


def test_a_follower_that_is_dropped_again_and_again_misses_and_repeats_nothing(
    fault_stack: FaultStack, drill: Drill
) -> None:
    fault_stack.read_events()
    first = fault_stack.next_sequence
    port = fault_stack.proxy.add("follower", fault_stack.port)
    follower = _Follower(f"http://127.0.0.1:{port}", dict(fault_stack.client("admin").headers), first)
    drops = 0
    try:
        for number in range(8):
            drill.submit("owner", "ok")
            if number in {2, 4, 5, 6}:
                follower.await_connections(drops := drops + 1)
            if number in {2, 4, 6}:
                fault_stack.proxy.reset("follower")
            if number == 5:
                fault_stack.kill("gateway")
                fault_stack.start("gateway")
        outcome = drill.reckon()
        wanted = [item["sequence"] for item in _pages(fault_stack.client("admin"), first)]
        await_that(lambda: follower.seen[-1:] == wanted[-1:], "the follower to see the last event")
    finally:
        follower.stop()
    assert follower.connections > drops
    assert [sequence for sequence, count in Counter(follower.seen).items() if count > 1] == []
    assert follower.seen == wanted
    assert outcome.broken == [], "\n".join([*outcome.broken, *drill.trace])


def _pages(admin: httpx.Client, first: int) -> list[dict[str, int]]:
    params = {"since_sequence": first, "limit": 1000}
    items: list[dict[str, int]] = admin.get("/v1/events", params=params).raise_for_status().json()["items"]
    return items
