"""A worker of elsewhere, as the gateway passes on what it asks and says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from contracts.envelope import Context
from contracts.leases import (
    GetLease,
    Lease,
    Leases,
    LeaseStanding,
    LeaseView,
    Loan,
    Offer,
    ReportLease,
    TakeLeases,
    UseLease,
)
from contracts.model import now
from contracts.principals import Level, Principal
from contracts.runs import Step, StepName
from contracts.states import Reason
from services.chassis.bus import Bus

__all__ = ["LARGE", "Machine", "done", "poll", "step", "worker"]

_T = TypeVar("_T")

LARGE = Offer(
    cpus=64, memory=2**38, gpus=8, gpu_memory=2**36, gpu_model="NVIDIA A100", gpu_architecture="Ampere", images=True
)


async def poll(call: Callable[[], Awaitable[_T]], is_good: Callable[[_T], bool], *, seconds: float = 20) -> _T:
    """Ask again and again until the answer is good."""
    found = await call()
    async with asyncio.timeout(seconds):
        while not is_good(found):
            await asyncio.sleep(0.02)
            found = await call()
    return found


def worker(name: str, *groups: str) -> Principal:
    """Return somebody who may take work, and is in more *groups*."""
    return Principal(subject=name, projects=dict.fromkeys(("workers", *groups), Level.MEMBER))


def step(name: StepName, **values: Any) -> Step:
    """Return a step that happens now."""
    return Step.model_validate({"step": name, "at": now(), **values})


def done(exit_code: int = 0, **values: Any) -> list[Step]:
    """Return the last steps of a program that ended by itself."""
    return [
        step(StepName.EXITED, exit_code=exit_code),
        step(StepName.DONE, reason=Reason.EXITED, exit_code=exit_code, **values),
    ]


class Machine:
    """One worker; with *keyed* it gets tokens."""

    def __init__(self, bus: Bus, who: Principal, *, name: str = "", backend: str = "pull", keyed: bool = True) -> None:
        self._bus = bus
        self._who = who
        self._name = name
        self._backend = backend
        self._keyed = keyed

    async def take(self, offer: Offer = LARGE, limit: int = 1, older_than: float = 0.0) -> list[Lease]:
        """Ask for work once."""
        command = TakeLeases(
            principal=self._who,
            worker=self._name,
            backend=self._backend,
            offer=offer,
            limit=limit,
            older_than=older_than,
            keyed=self._keyed,
        )
        answer: Leases = await self._bus.order(command, self._context, wait=20, answer=Leases)
        return answer.items

    async def one(self, offer: Offer = LARGE, seconds: float = 20) -> Lease:
        """Ask until there is some."""
        found = await poll(lambda: self.take(offer), bool, seconds=seconds)
        return found[0]

    async def ping_until(self, lease: Lease, told: str, **values: Any) -> LeaseStanding:
        """Say that it is alive until the answer says *told*."""
        return await poll(
            lambda: self.say(lease, step(StepName.ALIVE, **values)), lambda standing: bool(getattr(standing, told))
        )

    async def say(self, lease: Lease, *steps: Step) -> LeaseStanding:
        """Report."""
        command = ReportLease(principal=self._who, number=lease.number, token=lease.token, steps=list(steps))
        answer: LeaseStanding = await self._bus.order(command, self._context, wait=20, answer=LeaseStanding)
        return answer

    async def look(self, number: int) -> LeaseView:
        """Ask how a lease stands."""
        answer: LeaseView = await self._bus.ask(GetLease(principal=self._who, number=number))
        return answer

    async def use(self, lease: Lease) -> Loan:
        """Ask for what files are fetched by."""
        query = UseLease(principal=self._who, number=lease.number, token=lease.token)
        answer: Loan = await self._bus.ask(query)
        return answer

    @property
    def _context(self) -> Context:
        return Context.start(f"user:{self._who.subject}")
