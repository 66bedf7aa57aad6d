"""Figures of runners are held to what can be."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

from contracts.model import now
from contracts.runs import Step, StepName
from contracts.workloads import Allocation, Usage
from services.scheduler.figures import plausible


def _step(**more: object) -> Step:
    return Step.model_construct(**{**Step(step=StepName.EXITED, at=now()).__dict__, **more})


def test_what_can_be_stays_as_it_is() -> None:
    step = Step(
        step=StepName.EXITED,
        at=now(),
        exit_code=3,
        message="exited with 3",
        usage=Usage(wall_seconds=1.5, cpu_seconds=0.5, memory_peak=2**40),
        allocation=Allocation(backend="local", cpus=2.5, memory=2**30, gpus=1, gpu_indices=[0]),
    )
    assert plausible(step) == step


def test_a_broken_meter_counts_nothing() -> None:
    usage = Usage(wall_seconds=-1, cpu_seconds=math.inf, memory_peak=2**80, gpu_seconds=math.nan, gpu_memory_peak=-5)
    held = plausible(_step(usage=usage)).usage
    assert held == Usage(wall_seconds=0, cpu_seconds=0, memory_peak=2**53, gpu_seconds=0, gpu_memory_peak=0)


def test_a_clock_that_goes_before_ours_is_not_believed() -> None:
    assert plausible(_step(at=datetime(8999, 1, 1, tzinfo=UTC))).at <= now()
    earlier = now() - timedelta(days=3)
    assert plausible(_step(at=earlier)).at == earlier


def test_a_code_that_no_process_ends_with_is_none() -> None:
    assert plausible(_step(exit_code=10**9)).exit_code is None
    assert plausible(_step(exit_code=-9)).exit_code == -9
