"""A seed always draws the same work and the same faults, whatever the stack answers; another seed draws others."""

from __future__ import annotations

from typing import Any

from tests.faults.machine import draw


class _Nothing:
    """A drill, a stack and a proxy on which every step is carried out by doing nothing."""

    name = "nothing"

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.orders: list[Any] = []

    @property
    def stack(self) -> _Nothing:
        return self

    @property
    def proxy(self) -> _Nothing:
        return self

    def note(self, text: str) -> None:
        self.notes.append(text)

    def _do(self, *_: Any, **__: Any) -> bool:
        return False

    submit = cancel = retry = release = upload = look = _do
    kill = terminate = freeze = thaw = start = runs = set = reset = _do


def _steps(seed: int) -> list[str]:
    drill = _Nothing()
    assert draw(seed, drill, pause=lambda _: None) == ""  # type: ignore[arg-type]
    return drill.notes


def test_a_seed_draws_the_same_steps_again() -> None:
    assert _steps(7) == _steps(7)


def test_seeds_differ_and_together_draw_every_kind_of_fault() -> None:
    drawn = [_steps(seed) for seed in range(1, 41)]
    assert len({tuple(steps) for steps in drawn}) == len(drawn)
    words = " ".join(step for steps in drawn for step in steps)
    for kind in ("kill -9", "SIGTERM", "SIGSTOP", "SIGCONT", "is cut", "is hang", "is slow", "connections lost"):
        assert kind in words, kind
    for kind in ("submits flaky", "submits long", "submits held", "submits stage", "cancel", "retry", "uploads"):
        assert kind in words, kind
