"""A program that ends, or does not, in the very moment in which it is to be ended; nobody waits by the clock for it."""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import Mapping
from pathlib import Path

from contracts.runs import RunReport, Step, StepName

__all__ = ["CATCHES", "ENDS", "Said", "let_end", "make_doors", "until_up"]

ENDS = "echo >up; read -r word <go; exit {code}"
"""Says that it is up, and ends by itself as soon as it is let."""
CATCHES = "trap 'exit 0' TERM; sleep 300 & echo >up; wait"
"""Saves its work, as it were, when it is asked to end, and ends well with that."""


class Said:
    """The link of one run: keeps what is said."""

    name = "test"

    def __init__(self) -> None:
        self.steps: dict[StepName, Step] = {}

    async def keep(
        self, subject: str, payload: bytes, _message: str, _headers: Mapping[str, str] | None = None
    ) -> None:
        """Take a report; output is passed over."""
        if subject.startswith("runs."):
            report = RunReport.model_validate_json(payload)
            self.steps |= {step.step: step for step in report.steps}

    async def published(self, _subject: str) -> int:
        """Say that no output was published before."""
        return 0

    @property
    def exited(self) -> Step:
        """Return what was said of the program's end."""
        return self.steps[StepName.EXITED]

    @property
    def done(self) -> Step:
        """Return what was said of the attempt's end."""
        return self.steps[StepName.DONE]


def make_doors(work: Path) -> None:
    """Make what such a program is heard by, and hears by."""
    for name in ("up", "go"):
        os.mkfifo(work / name)


async def until_up(work: Path) -> None:
    """Wait until the program runs."""
    await asyncio.to_thread((work / "up").read_text)


def let_end(work: Path, pid: int) -> None:
    """Let the program end, and return when its wrapper, which is *pid*, has written down how."""
    handle = os.pidfd_open(pid)
    try:
        (work / "go").write_text("go\n")
        select.select([handle], [], [])
    finally:
        os.close(handle)
