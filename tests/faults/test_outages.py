"""A server is away for long, or hangs: work that was begun goes on, and what was asked meanwhile is done afterwards.

Those of `--long-outages` take minutes and are run by hand; `test_kills.py` has shorter ones.
"""

from __future__ import annotations

import time

import pytest

from tests.faults.drill import Drill
from tests.support.fault_proxy import Mode
from tests.support.fault_stack import LINKS, FaultStack


@pytest.mark.parametrize(("server", "seconds"), [("nats", 30), ("temporal", 60), ("s3", 30)])
@pytest.mark.timeout(300)
def test_a_long_outage_is_survived(
    fault_stack: FaultStack, drill: Drill, request: pytest.FixtureRequest, server: str, seconds: float
) -> None:
    if not request.config.getoption("--long-outages"):
        pytest.skip("takes minutes: `pytest tests/faults/test_outages.py --long-outages`")
    drill.upload("owner", f"{drill.name}/in.bin", b"before" * 1000)
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
    drill.upload("owner", f"{drill.name}/in.bin", b"before" * 1000)
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


def _work(drill: Drill) -> None:
    for kind in ("ok", "nap", "fail"):
        drill.submit("owner", kind)
    drill.submit("owner", "stage", f"{drill.name}/in.bin")


def _assert_good(drill: Drill) -> None:
    outcome = drill.reckon()
    assert outcome.broken == [], "\n".join([*outcome.broken, *drill.trace])
