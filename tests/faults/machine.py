"""The model that draws work and faults, and the seeds: one seed is one drill, the same each time."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, Verbosity, assume, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from deploy.local.parts import NAMES
from tests.support.fault_proxy import Mode
from tests.support.fault_stack import LINKS, FaultStack

from .drill import USERS, Drill, Outcome

__all__ = ["STEPS", "Seeded", "draw", "run_seed"]

STEPS = 18
"""Rules of one drill."""

_MOST_FAULTS = 4
"""Faults at the same time; with more of them nothing would happen between."""
_KINDS = ("ok", "nap", "fail", "flaky", "long", "held")
_number = st.integers(0, 63)
_user = st.sampled_from(USERS)


@dataclass(frozen=True, slots=True)
class Seeded:
    """What came of a seed."""

    seed: int
    outcome: Outcome | None
    error: str
    trace: list[str]
    seconds: float

    @property
    def is_good(self) -> bool:
        """Say whether every invariant held."""
        return self.outcome is not None and not self.outcome.broken and not self.error

    @property
    def why(self) -> list[str]:
        """Return what is broken."""
        return [*([self.error] if self.error else []), *(self.outcome.broken if self.outcome else [])]


class _Machine(RuleBasedStateMachine):
    """Draws from its own plan only, never from what the stack answered: so a seed always draws the same steps."""

    drill: Drill
    error = ""
    pause: Callable[[float], None]

    def __init__(self) -> None:
        super().__init__()
        self.planned = 0
        self.uploads: list[tuple[str, str]] = []
        self.dead: list[str] = []
        self.frozen: list[str] = []
        self.broken_links: list[str] = []
        self.interrupted = 0

    def _do(self, text: str, action: Callable[[], Any]) -> None:
        """Carry out a step; after the first error of the harness itself nothing more is done."""
        cls = type(self)
        if cls.error:
            return
        cls.drill.note(text)
        try:
            action()
        except Exception:  # noqa: BLE001 (Hypothesis would run the drill again to see whether it fails again)
            cls.error = f"at {text!r}: {traceback.format_exc(limit=6)}"

    def _faults(self) -> int:
        return len(self.dead) + len(self.frozen) + len(self.broken_links)

    def _whole(self) -> list[str]:
        return [name for name in NAMES if name not in self.dead and name not in self.frozen]

    @initialize(draw=st.integers(0, 2**32), kinds=st.lists(st.sampled_from(_KINDS), min_size=2, max_size=4))
    def begin(self, draw: int, kinds: list[str]) -> None:
        """Begin with some work, but not with the simplest example that Hypothesis tries first whatever the seed."""
        assume(draw)
        for kind in kinds:
            self.submit("owner", kind)

    # --- work ---------------------------------------------------------------------------------------------------

    def submit(self, user: str, kind: str) -> None:
        """Plan a job and ask for it."""
        self.planned += 1
        self._do(f"{user} submits {kind}", lambda: self.drill.submit(user, kind))

    @rule(user=_user, kind=st.sampled_from(_KINDS))
    def submit_one(self, user: str, kind: str) -> None:
        self.submit(user, kind)

    @rule(kind=st.sampled_from(("ok", "nap")), count=st.integers(2, 5))
    def submit_some(self, kind: str, count: int) -> None:
        for _ in range(count):
            self.submit("owner", kind)

    @rule(user=_user, size=st.sampled_from((0, 1, 1000, 300_000)), letter=st.integers(0, 255))
    def upload(self, user: str, size: int, letter: int) -> None:
        path = f"{len(self.uploads)}.bin"
        self.uploads.append((user, path))
        content = bytes((letter + n * 7) % 256 for n in range(size))
        self._do(f"{user} uploads {size} bytes", lambda: self.drill.upload(user, self._at(path), content))

    @precondition(lambda self: self.uploads)
    @rule(number=_number)
    def stage(self, number: int) -> None:
        user, path = self.uploads[number % len(self.uploads)]
        self.planned += 1
        self._do(f"{user} submits stage of {path}", lambda: self.drill.submit(user, "stage", self._at(path)))

    def _at(self, path: str) -> str:
        return f"drill/{self.drill.name}/{path}"

    @precondition(lambda self: self.planned)
    @rule(number=_number)
    def cancel(self, number: int) -> None:
        chosen = number % self.planned
        self._do(f"cancel {chosen}", lambda: self._on(chosen, self.drill.cancel))

    @precondition(lambda self: self.planned)
    @rule(number=_number)
    def retry(self, number: int) -> None:
        chosen = number % self.planned
        self.planned += 1
        self._do(f"retry {chosen}", lambda: self._on(chosen, self.drill.retry))

    @precondition(lambda self: self.planned)
    @rule(number=_number)
    def release(self, number: int) -> None:
        chosen = number % self.planned
        self._do(f"release {chosen}", lambda: self._on(chosen, self.drill.release))

    def _on(self, number: int, action: Callable[[int], Any]) -> None:
        # An order whose input never arrived was not made: the numbers of the plan may run ahead.
        if number < len(self.drill.orders):
            action(number)

    @rule(user=_user, seconds=st.sampled_from((0.05, 0.2, 0.5)))
    def look(self, user: str, seconds: float) -> None:
        """Let a moment pass and look."""
        self._do(f"{seconds} s pass", lambda: type(self).pause(seconds))
        self._do(f"{user} lists", lambda: self.drill.look(user))

    # --- faults -------------------------------------------------------------------------------------------------

    @precondition(lambda self: self._faults() < _MOST_FAULTS)
    @rule(number=_number)
    def kill(self, number: int) -> None:
        name = self._whole()[number % len(self._whole())]
        self.dead.append(name)
        self._do(f"kill -9 {name}", lambda: self.drill.stack.kill(name))

    @precondition(lambda self: self._faults() < _MOST_FAULTS)
    @rule(number=_number)
    def terminate(self, number: int) -> None:
        name = self._whole()[number % len(self._whole())]
        if name == "runner":
            # It interrupts what it runs, and a job may be interrupted five times.
            self.interrupted += 1
            if self.interrupted > 3:
                return
        self.dead.append(name)
        self._do(f"SIGTERM {name}", lambda: self.drill.stack.terminate(name))

    @precondition(lambda self: self.dead)
    @rule(number=_number)
    def restart(self, number: int) -> None:
        name = self.dead.pop(number % len(self.dead))
        self._do(f"restart {name}", lambda: self._start(name))

    def _start(self, name: str) -> None:
        stack = self.drill.stack
        if stack.runs(name):  # it drains still, and would for 20 s if its servers are away
            stack.kill(name)
        stack.start(name, ready=False)

    @precondition(lambda self: self._faults() < _MOST_FAULTS)
    @rule(number=_number)
    def freeze(self, number: int) -> None:
        name = self._whole()[number % len(self._whole())]
        self.frozen.append(name)
        self._do(f"SIGSTOP {name}", lambda: self.drill.stack.freeze(name))

    @precondition(lambda self: self.frozen)
    @rule(number=_number)
    def thaw(self, number: int) -> None:
        name = self.frozen.pop(number % len(self.frozen))
        self._do(f"SIGCONT {name}", lambda: self.drill.stack.thaw(name))

    @precondition(lambda self: self._faults() < _MOST_FAULTS)
    @rule(name=st.sampled_from(sorted(LINKS)), mode=st.sampled_from((Mode.CUT, Mode.HANG, Mode.SLOW)))
    def break_link(self, name: str, mode: Mode) -> None:
        if name not in self.broken_links:
            self.broken_links.append(name)
        self._do(f"{name} is {mode}", lambda: self.drill.stack.proxy.set(name, mode))

    @precondition(lambda self: self.broken_links)
    @rule(number=_number, reset=st.booleans())
    def mend_link(self, number: int, reset: bool) -> None:
        name = self.broken_links.pop(number % len(self.broken_links))
        self._do(f"{name} is open, {'connections lost' if reset else 'as before'}", lambda: self._mend(name, reset))

    def _mend(self, name: str, reset: bool) -> None:
        if reset:
            # Half-open: the other end has forgotten the connections that this one still holds.
            self.drill.stack.proxy.reset(name)
        self.drill.stack.proxy.set(name, Mode.OPEN)


def draw(number: int, drill: Drill, *, steps: int = STEPS, pause: Callable[[float], None] = time.sleep) -> str:
    """Draw the steps of a seed and carry them out; returns what went wrong with the harness itself, if anything."""
    # Each seed has a class of its own, for Hypothesis makes the instances.
    machine: type[_Machine] = type("Machine", (_Machine,), {"drill": drill, "error": "", "pause": staticmethod(pause)})
    run_state_machine_as_test(
        seed(number)(machine),
        settings=settings(
            max_examples=1,
            stateful_step_count=steps,
            phases=[Phase.generate],
            database=None,
            deadline=None,
            derandomize=False,
            verbosity=Verbosity.quiet,
            suppress_health_check=list(HealthCheck),
        ),
    )
    return machine.error


def run_seed(stack: FaultStack, number: int, folder: Path, *, settle: float = 60.0, steps: int = STEPS) -> Seeded:
    """Run the drill of a seed on a stack that is at rest, and reckon."""
    began = time.monotonic()
    # The name differs each time, so that a seed can be run again on the same stack.
    drill = Drill(stack, f"s{number}-{time.time_ns() // 1_000_000 % 10**9}", folder / f"seed-{number}", settle)
    error, outcome = draw(number, drill, steps=steps), None
    if not error:
        try:
            outcome = drill.reckon()
        except Exception:  # noqa: BLE001 (whatever it is, it is said with the seed)
            error = f"at the reckoning: {traceback.format_exc(limit=6)}"
    return Seeded(number, outcome, error, drill.trace, time.monotonic() - began)
