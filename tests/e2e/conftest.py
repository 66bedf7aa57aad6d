"""One stack for all end-to-end tests, started as its users start it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.stack import Stack, run_stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The embedded stack with its demo users; parts that a test kills it must start again, `stack.start_part`."""
    with run_stack(tmp_path_factory.mktemp("stack")) as running:
        yield running
