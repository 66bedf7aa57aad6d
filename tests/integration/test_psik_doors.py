"""Who gets through psik's doors: the site's own policy, tokens, and refusals in psik's words from the very edge on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from pydantic import JsonValue

from contracts.errors import ForbiddenError, InvalidError
from services.gateway.auth.passport import Facts, Passport
from tests.support.gateway import as_user, run_gateway, run_site
from tests.support.servers import run_nats

_ADA, _EVE = as_user("ada"), as_user("eve")


class NoEve:
    """A policy of a site, named in the settings as `tests.integration.test_psik_doors:NoEve`."""

    def __init__(self) -> None:
        self.asked: list[Facts] = []

    async def require(self, passport: Passport, facts: Facts) -> None:
        """Refuse Eve, and everybody who wants more than two GPUs."""
        self.asked.append(facts)
        if passport.principal.subject == "eve" or facts.gpus > 2:
            raise ForbiddenError(f"not for {facts.service} {facts.method} {facts.path} {facts.resource}")


@dataclass
class Desk:
    """Gives out tokens that say in clear what they are."""

    minted: list[tuple[str, timedelta]] = field(default_factory=list)

    async def mint(self, passport: Passport, lifetime: timedelta) -> str:
        """Write a token."""
        self.minted.append((passport.principal.subject, lifetime))
        return f"token of {passport.principal.subject}"

    def inspect(self, text: str) -> list[str]:
        """Read one."""
        if not text.startswith("token of "):
            raise InvalidError("it does not begin as one")
        return [f'user("{text.removeprefix("token of ")}")']


@pytest.fixture(scope="module")
def desk() -> Desk:
    return Desk()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(tmp_path_factory: pytest.TempPathFactory, desk: Desk) -> AsyncIterator[httpx.AsyncClient]:
    folder: Path = tmp_path_factory.mktemp("psik")
    policy: dict[str, dict[str, JsonValue]] = {"psik": {"authz": f"{__name__}:NoEve", "token_lifetime": 60}}
    async with (
        run_nats(folder) as nats,
        run_site(nats),
        run_gateway(nats, max_body=64 * 1024, dialects=policy, tokens=desk) as (client, _),
    ):
        yield client


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_the_sites_own_policy_takes_away_and_never_gives(client: httpx.AsyncClient) -> None:
    refused = await client.get("/psik/v1/jobs/1693992878.203/state", headers=_EVE)
    said = "not for psik GET /v1/jobs/1693992878.203/state 1693992878.203"
    assert (refused.status_code, refused.json()) == (403, {"detail": said})
    # Our own API does not know of it, and nobody comes in because of it.
    assert (await client.get("/v1/jobs", headers=_EVE)).status_code == 200
    assert (await client.get("/psik/v1/jobs")).status_code == 401
    many = {"script": "true", "resources": {"process_count": 3, "gpu_cores_per_process": 1}}
    assert (await client.post("/psik/v2/jobs", headers=_ADA, json=many)).status_code == 403
    few = {**many, "resources": {"gpu_cores_per_process": 1}}
    assert (await client.post("/psik/v2/jobs", headers=_ADA, json=few)).status_code == 200


async def test_tokens_are_given_out_and_read(client: httpx.AsyncClient, desk: Desk) -> None:
    given = await client.get("/psik/v1/token", headers=_ADA)
    assert given.headers["content-type"].startswith("text/plain")
    assert (given.status_code, given.text) == (200, "token of ada")
    assert desk.minted[-1] == ("ada", timedelta(seconds=60))
    shown = await client.post("/psik/v1/token", headers={"Authorization": f"Bearer {given.text}"})
    assert shown.json() == {"blocks": ['user("ada")']}
    for wrong in ("Bearer nonsense", "Basic YTpi", "Bearer"):
        refused = await client.post("/psik/v1/token", headers={"Authorization": wrong})
        assert (refused.status_code, list(refused.json())) == (401, ["detail"])
    assert (await client.get("/psik/v1/token", headers=_EVE)).status_code == 403


async def test_a_job_is_made_under_a_name_that_is_free(client: httpx.AsyncClient) -> None:
    names = [(await client.post("/psik/v1/jobs/new", headers=_ADA, json={"script": "true"})).json() for _ in range(5)]
    assert names == sorted(set(names), key=float)


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status"),
    [
        ("GET", "/psik/v1/nothing", {}, b"", 404),
        ("GET", "/psik/v3/jobs", {}, b"", 404),
        ("PATCH", "/psik/v1/jobs", {}, b"", 405),
        ("POST", "/psik/v1/jobs", {"content-type": "application/json"}, b" " * 70_000, 413),
        ("GET", "/psik/v1/jobs", {"x-large": "x" * 40_000}, b"", 431),
        ("GET", "/psik/v1/jobs?x=" + "x" * 20_000, {}, b"", 414),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else "",
)
async def test_whatever_is_refused_is_refused_in_psiks_words(
    client: httpx.AsyncClient, method: str, path: str, headers: dict[str, str], body: bytes, status: int
) -> None:
    refused = await client.request(method, path, headers=_ADA | headers, content=body)
    assert refused.status_code == status
    assert list(refused.json()) == ["detail"]
    assert refused.headers["x-content-type-options"] == "nosniff"
