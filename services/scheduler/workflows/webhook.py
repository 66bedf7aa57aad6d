"""A line of deliveries: what goes to one target about one thing, one after the other, each until it is settled."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import suppress
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from pydantic import ConfigDict

    from contracts.model import Model

__all__ = ["DeliveryLine", "HookCalls", "LineInput", "Standing"]

_PATIENT = RetryPolicy(initial_interval=timedelta(milliseconds=500), maximum_interval=timedelta(seconds=30))
_STEP = timedelta(minutes=3)
_ALIVE = timedelta(seconds=10)
"""Without a sign of life for so long the step counts as dead, and goes to another worker."""


class LineInput(Model):
    """What a line must know: its name. What is to be sent, and where, lies in the scheduler's tables."""

    model_config = ConfigDict(extra="ignore")

    line: str
    steps: int = 100
    """Steps after which the workflow goes on in a fresh history."""


class Standing(Model):
    """How a line stands after what is due was sent."""

    model_config = ConfigDict(extra="ignore")

    pause: float | None = None
    """Seconds until the next try; none: nothing is left to be sent."""


class HookCalls(ABC):
    """What a line has done for it. Every call repeats harmlessly, but for what was sent and not written down."""

    @activity.defn
    @abstractmethod
    async def deliver_line(self, line: str) -> Standing:
        """Send what is due, in order."""


@workflow.defn(name="webhook-line")
class DeliveryLine:
    """One line of deliveries; it ends when nothing is left, and is started again by the next event."""

    @workflow.init
    def __init__(self, asked: LineInput) -> None:
        self._asked = asked
        self._more = False
        self._hurry = False

    @workflow.run
    async def run(self, asked: LineInput) -> None:
        """Send until nothing is left."""
        for _ in range(asked.steps):
            self._more = self._hurry = False
            # Sending may take long: as a local activity it would take the place of a job's steps.
            standing: Standing = await workflow.execute_activity_method(
                HookCalls.deliver_line,
                asked.line,
                start_to_close_timeout=_STEP,
                heartbeat_timeout=_ALIVE,
                retry_policy=_PATIENT,
            )
            if standing.pause is not None:
                await self._wait(standing.pause)
            elif not (self._more or self._hurry):
                return
        workflow.continue_as_new(asked)

    @workflow.signal
    def more(self) -> None:
        """Note that something was added to the line."""
        self._more = True

    @workflow.signal
    def hurry(self) -> None:
        """Note that it is to be looked at now, whatever is being waited for."""
        self._hurry = True

    async def _wait(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await workflow.wait_condition(lambda: self._hurry, timeout=timedelta(seconds=seconds))
