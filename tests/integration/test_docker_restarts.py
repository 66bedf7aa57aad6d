"""What becomes of native jobs when their engine is stopped, killed, and started again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.errors import UnavailableError
from contracts.states import Reason
from services.scheduler.backends.engines.base import NativeState
from tests.support.docker_engine import Dockerd, dockerd_or_skip, needs_docker
from tests.support.docker_orders import run_site

pytestmark = needs_docker

_STAYS = "trap 'exit 143' TERM; echo here; while :; do sleep 0.05; done"


@pytest.fixture(scope="module")
def mortal() -> Iterator[Dockerd]:
    """One that ends its containers with itself, or finds them when it comes back and ends them then."""
    with dockerd_or_skip() as engine:
        yield engine


@pytest.fixture(scope="module")
def lasting() -> Iterator[Dockerd]:
    """One whose containers live on without it."""
    with dockerd_or_skip("--live-restore") as engine:
        yield engine


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_what_ends_with_its_engine_was_interrupted(mortal: Dockerd, tmp_path: Path, how: str) -> None:
    async with run_site(mortal, tmp_path) as site:
        native = await site.start(_STAYS)
        while "here" not in site.logs(native):
            await site.engine.look([native])
        await asyncio.to_thread(getattr(mortal, how))
        try:
            with pytest.raises(UnavailableError):
                await site.engine.look([native])
        finally:
            await asyncio.to_thread(mortal.start)
        seen = await site.until(native)
        assert (seen.exit_code, seen.ending) == (143, Reason.INTERRUPTED)
        await site.engine.remove([native])
        assert site.left() == []


async def test_where_containers_live_on_they_are_found_again_and_their_end_is_known(
    lasting: Dockerd, tmp_path: Path
) -> None:
    async with run_site(lasting, tmp_path) as site:
        native, short = await site.start(_STAYS), await site.start("sleep 0.3; exit 7")
        await site.engine.look([native, short])
        await asyncio.to_thread(lasting.kill)
        await asyncio.to_thread(_until_one_is_left, lasting)
        await asyncio.to_thread(lasting.start)
        seen = await site.engine.look([native, short])
        assert seen[native.name].state is NativeState.RUNNING
        assert (await site.until(short)).exit_code == 7
        await site.engine.stop([native])
        assert (await site.until(native)).exit_code == 143
        await site.engine.remove([native, short])
        assert site.left() == []


def _until_one_is_left(engine: Dockerd) -> None:
    while len(engine.pids()) > 2:  # a shell and what it waits for
        time.sleep(0.05)
