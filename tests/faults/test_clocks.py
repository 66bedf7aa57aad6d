"""A service's clock jumps by an hour: no job is lost or billed wrongly, and tickets are honoured or asked for again."""

from __future__ import annotations

import pytest

from tests.faults.drill import PATIENT, Drill
from tests.support.fault_stack import FaultStack

_HOUR = 3600
_SKEWED = ("scheduler", "runner", "accounting")
"""Not storage: an S3 server refuses signatures of a clock that is more than 15 minutes away from its own."""


@pytest.mark.parametrize("skew", [_HOUR, -_HOUR], ids=["ahead", "behind"])
def test_work_goes_on_when_clocks_jump(fault_stack: FaultStack, drill: Drill, skew: int) -> None:
    drill.upload("owner", f"{drill.name}/in.bin", b"noon" * 1000, patience=PATIENT)
    for kind in ("nap", "stage", "fail", "held"):
        drill.submit("owner", kind, f"{drill.name}/in.bin" if kind == "stage" else None)
    try:
        # One after another, so that for a while they disagree; each begins right and jumps a second later.
        for name in _SKEWED:
            fault_stack.extra[name] = {"SHUNTER_TEST_SKEW": str(skew), "SHUNTER_TEST_SKEW_AFTER": "1"}
            fault_stack.kill(name)
            fault_stack.start(name)
            drill.submit("owner", "stage", f"{drill.name}/in.bin")
            drill.submit("other", "nap")
        outcome = drill.reckon()
    finally:
        fault_stack.extra.clear()
        for name in _SKEWED:
            fault_stack.kill(name)
        fault_stack.heal()
    assert outcome.broken == [], "\n".join([*outcome.broken, *drill.trace])
    assert _longest(fault_stack, drill) < _HOUR / 2, "somebody is billed for an hour that never was"


def _longest(stack: FaultStack, drill: Drill) -> float:
    """Return the longest time that an attempt of this drill is billed for."""
    jobs = {order.job for order in drill.orders}
    usages: list[float] = [
        event["data"]["usage"]["wall_seconds"]
        for event in stack.read_events()
        if event["data"].get("workload_id") in jobs and event["data"].get("usage")
    ]
    return max(usages)
