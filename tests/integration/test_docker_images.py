"""Images from a real registry: fetched when they are missing, refused when they cannot be had, waited for otherwise."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contracts.errors import InvalidError, ShunterError, UnavailableError
from tests.support.docker_engine import Dockerd, needs_docker
from tests.support.docker_images import BUSYBOX
from tests.support.docker_orders import Site, run_site
from tests.support.registry import LOGIN, Registry, needs_registry, run_registry

pytestmark = [needs_docker, needs_registry]


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    async with run_registry(tmp_path / "registry") as found:
        yield found


@pytest.fixture
def image(docker_engine: Dockerd, registry: Registry) -> str:
    """Push one that the engine itself does not keep."""
    name = f"{registry.address}/lab/tool"
    with docker_engine.client() as client:
        client.tag(BUSYBOX, name, "1")
        said = [json.loads(line) for line in client.push(name, "1", auth_config=LOGIN).splitlines()]
        assert not any("error" in line for line in said), said
        client.remove_image(f"{name}:1")
    return f"{name}:1"


def _credentials(folder: Path, registry: Registry, password: str = LOGIN["password"]) -> Path:
    path = folder / "config.json"
    word = b64encode(f"{LOGIN['username']}:{password}".encode()).decode()
    path.write_text(json.dumps({"auths": {registry.address: {"auth": word}}}))
    return path


async def _answer(site: Site, image: str) -> ShunterError | None:
    """Ask again for as long as the image is being fetched."""
    order = site.order(image=image)
    async with asyncio.timeout(30):
        while True:
            (started,) = await site.engine.start([order])
            if started.error is None or "is being fetched" not in started.error.detail:
                return started.error


async def test_an_image_is_fetched_with_the_sites_credentials(
    docker_engine: Dockerd, tmp_path: Path, registry: Registry, image: str
) -> None:
    async with run_site(
        docker_engine, tmp_path, pull="missing", credentials=str(_credentials(tmp_path, registry))
    ) as site:
        assert await _answer(site, image) is None
        await registry.stop()
        assert await _answer(site, image) is None, "it is there now"
    async with run_site(docker_engine, tmp_path, pull="always") as site:
        error = await _answer(site, image)
        assert isinstance(error, UnavailableError)
        assert "cannot be fetched now" in error.detail


async def test_who_may_not_have_an_image_is_refused(
    docker_engine: Dockerd, tmp_path: Path, registry: Registry, image: str
) -> None:
    async with run_site(docker_engine, tmp_path, pull="missing") as site:
        error = await _answer(site, image)
        assert isinstance(error, InvalidError)
        assert error.errors[0].field == "image"
        assert "no basic auth credentials" in error.detail
    wrong = str(_credentials(tmp_path, registry, "wrong"))
    async with run_site(docker_engine, tmp_path, pull="missing", credentials=wrong) as site:
        assert isinstance(await _answer(site, image), InvalidError)


async def test_an_image_that_is_nowhere_is_refused(docker_engine: Dockerd, tmp_path: Path, registry: Registry) -> None:
    credentials = str(_credentials(tmp_path, registry))
    async with run_site(docker_engine, tmp_path, pull="missing", credentials=credentials) as site:
        error = await _answer(site, f"{registry.address}/lab/nothing:7")
        assert isinstance(error, InvalidError)
        assert "manifest" in error.detail
        await registry.stop()
        assert isinstance(await _answer(site, f"{registry.address}/lab/other:7"), UnavailableError)
        assert site.left() == []
