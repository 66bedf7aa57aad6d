"""What there is too little of: descriptors at the gateway (F25), time at the consumer of the event log (F15)."""

from __future__ import annotations

import re
import resource
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress

import httpx
import psutil

from tests.faults.drill import Drill
from tests.support import plain
from tests.support.fault_stack import FaultStack, await_that
from tests.support.jobs import until_ended

_SPARE = 12
"""Descriptors that the gateway has left."""
_KNOCKS = 60
_JOBS = 80


@contextmanager
def _few_descriptors(pid: int) -> Iterator[None]:
    gateway = psutil.Process(pid)
    before = gateway.rlimit(resource.RLIMIT_NOFILE)
    gateway.rlimit(resource.RLIMIT_NOFILE, (gateway.num_fds() + _SPARE, before[1]))
    try:
        yield
    finally:
        gateway.rlimit(resource.RLIMIT_NOFILE, before)


def _knock(stack: FaultStack, doors: ExitStack) -> None:
    """Connect and say nothing, or be turned away."""
    with suppress(OSError):
        doors.enter_context(socket.create_connection(("127.0.0.1", stack.port), timeout=1))


def _status(stack: FaultStack) -> int | None:
    """Ask something over a new connection."""
    try:
        return plain.get(f"{stack.url}/healthz", timeout=1.0).status_code
    except httpx.TransportError:
        return None


def test_a_gateway_without_a_free_descriptor_answers_again_once_there_are(
    fault_stack: FaultStack, drill: Drill
) -> None:
    drill.submit("owner", "nap")
    with _few_descriptors(fault_stack.pids["gateway"]):
        with ExitStack() as doors:
            for _ in range(_KNOCKS):
                _knock(fault_stack, doors)
            assert _status(fault_stack) is None
            # Who is connected is served, as far as it takes no descriptor; nothing of this may be lost.
            for kind in ("ok", "nap"):
                drill.submit("owner", kind)
            drill.upload("owner", f"{drill.name}/in.bin", b"x" * 300_000)
            drill.look("owner")
            assert fault_stack.runs("gateway")
        await_that(lambda: _status(fault_stack) == 200, "the gateway to answer again", 10)
        await_that(lambda: fault_stack.is_ready("gateway"), "the gateway to be ready again", 10)
        drill.submit("owner", "ok")
    outcome = drill.reckon()
    assert outcome.broken == [], "\n".join([*outcome.broken, *drill.trace])
    assert outcome.jobs == 4


def _look_at_lag(stack: FaultStack) -> float:
    """Return how many events accounting says are not in its ledger, after it has looked."""
    if not stack.is_ready("accounting"):
        return -1.0  # it has not looked: ask again
    url = f"http://127.0.0.1:{stack.parts['accounting']['port']}/metrics"
    found = re.search(r"^shunter_accounting_lag_events (\S+)$", plain.get(url).text, re.MULTILINE)
    assert found
    return float(found[1])


def _position(stack: FaultStack) -> int:
    """Return the last event of the log that is in the ledger, as its table says."""
    with closing(sqlite3.connect(f"file:{stack.data}/db/accounting.db?mode=ro", uri=True)) as table:
        return int(table.execute("SELECT coalesce(max(sequence), 0) FROM log_position").fetchone()[0])


def test_jobs_go_on_while_accounting_stands_still_and_the_bill_is_right_afterwards(
    fault_stack: FaultStack, drill: Drill
) -> None:
    owner = fault_stack.client("owner")
    fault_stack.freeze("accounting")
    batch = {"jobs": [{"key": f"j{number}", "argv": ["true"]} for number in range(_JOBS)]}
    jobs = [item["job_id"] for item in owner.post("/v1/batches", json=batch).raise_for_status().json()["jobs"]]
    site = owner.get("/readyz")
    assert (site.status_code, site.json()["checks"]["scheduler"]) == (503, "ok")
    assert "does not answer" in site.json()["checks"]["accounting"]
    for job in jobs:
        drill.adopt("owner", job)
        assert until_ended(owner, job)["state"] == "succeeded"
    fault_stack.read_events()
    assert fault_stack.next_sequence - _position(fault_stack) > _JOBS
    fault_stack.thaw("accounting")
    await_that(lambda: _look_at_lag(fault_stack) == 0, "the ledger to have caught up")
    outcome = drill.reckon()
    assert outcome.broken == [], "\n".join([*outcome.broken, *drill.trace])
    assert outcome.jobs == _JOBS
