"""A server is away for long, or hangs: work that was begun goes on, and what was asked meanwhile is done afterwards.

Those of `--long-outages` take minutes and are run by hand; `test_kills.py` has shorter ones.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from tests.faults.drill import ENDED, PATIENT, Drill
from tests.support.fault_proxy import Mode
from tests.support.fault_stack import LINKS, FaultStack, await_that, run_fault_stack
from tests.support.jobs import until

_FAR_ENOUGH = {"held": {"held"}, "long": {"running"}, "nap": {"running", *ENDED}}
"""States of kinds of jobs that do not end by themselves, or not at once."""


@pytest.mark.parametrize(("server", "seconds"), [("nats", 30), ("temporal", 60), ("s3", 30)])
def test_a_long_outage_is_survived(
    fault_stack: FaultStack, drill: Drill, request: pytest.FixtureRequest, server: str, seconds: float
) -> None:
    if not request.config.getoption("--long-outages"):
        pytest.skip("takes minutes: `pytest tests/faults/test_outages.py --long-outages`")
    drill.upload("owner", f"{drill.name}/in.bin", b"before" * 1000, patience=PATIENT)
    _work(drill)
    fault_stack.kill(server)
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        _work(drill)
        time.sleep(2)
    fault_stack.start(server, ready=False)
    _assert_good(drill)


@pytest.mark.parametrize("server", ["nats", "temporal"])
def test_a_server_that_hangs_and_has_forgotten_everybody_is_survived(
    fault_stack: FaultStack, drill: Drill, server: str
) -> None:
    drill.upload("owner", f"{drill.name}/in.bin", b"before" * 1000, patience=PATIENT)
    _work(drill)
    links = [link for link, (_, answers) in LINKS.items() if answers == server]
    for link in links:
        fault_stack.proxy.set(link, Mode.HANG)
    drill.submit("owner", "ok")
    time.sleep(2)
    for link in links:
        fault_stack.proxy.reset(link)
        fault_stack.proxy.set(link, Mode.OPEN)
    _assert_good(drill)


def _told(stack: FaultStack) -> int:
    """Return how many events there are; none while the streams are being made again."""
    if stack.client("admin").get("/v1/events", params={"limit": 1}).status_code == 503:
        return 0
    return len(stack.read_events())


def _work(drill: Drill) -> None:
    for kind in ("ok", "nap", "fail"):
        drill.submit("owner", kind)
    drill.submit("owner", "stage", f"{drill.name}/in.bin")


def _assert_good(drill: Drill) -> None:
    outcome = drill.reckon()
    assert outcome.broken == [], "\n".join([*outcome.broken, *drill.trace])


@pytest.mark.slow
def test_nats_comes_back_with_an_emptied_store_and_the_log_is_told_again(tmp_path: Path) -> None:
    """Alone covers streams that are gone: a stack of its own, for others know their places in the log."""
    with run_fault_stack(tmp_path / "data") as stack:
        drill = Drill(stack, "emptied", tmp_path, 60.0)
        for kind in ("ok", "fail", "flaky", "held", "long", "nap", "nap"):
            drill.submit("owner", kind)
        for number, order in enumerate(drill.orders):
            until(stack.client(), drill.job_of(number), *_FAR_ENOUGH.get(order.kind, ENDED))
        told = len(stack.read_events())
        stack.kill("nats")
        shutil.rmtree(stack.data / "nats" / "jetstream")
        stack.forget_events()
        stack.start("nats")
        await_that(lambda: _told(stack) >= told, "the log to be told again")
        _assert_good(drill)
