"""Fixtures for all kinds of tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from services.chassis.settings import NatsSettings
from tests.support.docker_engine import Dockerd, dockerd_or_skip
from tests.support.ray_cluster import RayCluster, missing_ray, shared_ray
from tests.support.servers import S3, run_nats, run_s3, run_temporal

pytest_plugins = ["tests.support.store_plugin", "tests.support.scheduling"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the switches of single kinds of tests."""
    parser.addoption("--update-schemas", action="store_true", help="write contracts/schemas anew, for review")
    faults = parser.getgroup("faults", "drawn faults (tests/faults)")
    faults.addoption("--seeds", type=int, default=20, help="how many seeds tests/faults draws")
    faults.addoption("--first-seed", type=int, default=1, help="the first of them")
    faults.addoption("--long-outages", action="store_true", help="also those that last up to a minute")
    faults.addoption("--settle", type=float, default=60.0, help="seconds within which all must come to rest")


@pytest_asyncio.fixture
async def nats(tmp_path: Path) -> AsyncIterator[NatsSettings]:
    """A nats-server of the test's own; it is up in 20 ms."""
    async with run_nats(tmp_path) as settings:
        yield settings


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def s3(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[S3]:
    """One S3 server for all tests; each uses a bucket or owner of its own."""
    async with run_s3(tmp_path_factory.mktemp("s3")) as found:
        yield found


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def temporal(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """One Temporal server for all tests; each uses task queues and workflow ids of its own."""
    async with run_temporal(tmp_path_factory.mktemp("temporal")) as address:
        yield address


@pytest.fixture(scope="session")
def ray_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    """One Ray of two nodes for all tests, also those of other processes; what kills nodes has one of its own."""
    if missing_ray():
        pytest.skip(missing_ray())
    with shared_ray(tmp_path_factory.getbasetemp()) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[Dockerd]:
    """One container engine for all tests of a process; each uses names and labels of its own."""
    with dockerd_or_skip() as engine:
        yield engine
