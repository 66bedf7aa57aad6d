"""One stack for the whole corpus, its own: what is forged here must not stand in the log that other tests check."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.support.hostile import Target
from tests.support.stack import run_stack

from .flood import say_all


@pytest.fixture(scope="package")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """The embedded stack with its demo users, and what is known of it."""
    with run_stack(tmp_path_factory.mktemp("corpus")) as running:
        found = Target(running)
        found.said = asyncio.run(say_all(running))
        yield found
        found.close()


@pytest.fixture
def untouched(target: Target) -> Iterator[None]:
    """Check after a test that nothing was started and everything lives."""
    before = target.standing()
    yield
    target.check_alive()
    assert target.standing() == before, "something was started, or a part of the stack died"
