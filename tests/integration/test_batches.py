"""Batches through the gateway and the real scheduler, with a runner that pretends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from contracts.states import WorkloadState
from services.chassis.settings import NatsSettings
from tests.support.gateway import as_user, run_gateway
from tests.support.runner import FakeRunner, Outcome
from tests.support.scheduler import run_scheduler, scheduler_settings
from tests.support.servers import run_nats

S = WorkloadState
ADA = as_user("ada")
RUN = {"argv": ["true"]}

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def nats_of_all(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[NatsSettings]:
    async with run_nats(tmp_path_factory.mktemp("nats")) as settings:
        yield settings


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(
    nats_of_all: NatsSettings, temporal: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[httpx.AsyncClient]:
    """A gateway and a scheduler for all tests of this file."""
    folder: Path = tmp_path_factory.mktemp("batches")
    settings = scheduler_settings(folder, nats_of_all, temporal, every=0.2, silence=30)
    async with run_gateway(nats_of_all) as (client, _):
        client.headers.update(ADA)
        async with run_scheduler(settings):
            yield client


@pytest_asyncio.fixture(loop_scope="module")
async def runner(nats_of_all: NatsSettings, server: httpx.AsyncClient) -> AsyncIterator[FakeRunner]:
    runner = FakeRunner(nats_of_all)
    await runner.start()
    yield runner
    await runner.stop()


async def submit(server: httpx.AsyncClient, *jobs: dict[str, Any], **more: Any) -> httpx.Response:
    found = [{"key": f"j{place}", **({} if "script" in job else RUN), **job} for place, job in enumerate(jobs)]
    return await server.post("/v1/batches", json={"jobs": found}, timeout=60, **more)


async def until_over(server: httpx.AsyncClient, batch_id: str) -> dict[str, Any]:
    async with asyncio.timeout(90):
        while True:
            found: dict[str, Any] = (await server.get(f"/v1/batches/{batch_id}")).json()
            if found["state"] != "active":
                return found
            await asyncio.sleep(0.05)


def states(batch: dict[str, Any]) -> dict[str, str]:
    return {job["key"]: job["state"] for job in batch["jobs"]}


async def test_a_diamond_runs_in_its_order(server: httpx.AsyncClient, runner: FakeRunner) -> None:
    made = await submit(
        server,
        {"key": "join", "after": [{"key": "left"}, {"key": "right"}]},
        {"key": "left", "after": [{"key": "top"}]},
        {"key": "right", "after": [{"key": "top"}]},
        {"key": "top", "name": "first"},
    )
    assert made.status_code == 201, made.text
    batch = made.json()
    assert made.headers["location"] == f"/v1/batches/{batch['id']}"
    ended = await until_over(server, batch["id"])
    assert (ended["state"], set(states(ended).values())) == ("succeeded", {S.SUCCEEDED})
    assert ended["counts"] == {"succeeded": 4}
    ran = [task.job_name for task in runner.tasks]
    assert ran[0] == "first"
    assert ran[3] == "join"
    assert set(ran[1:3]) == {"left", "right"}
    listed = (await server.get("/v1/jobs", params={"batch": batch["id"]})).json()["items"]
    assert {job["id"] for job in listed} == {job["job_id"] for job in batch["jobs"]}
    assert {job["batch_id"] for job in listed} == {batch["id"]}
    page = (await server.get("/v1/batches")).json()
    assert [(one["id"], one["state"], one["jobs"]) for one in page["items"]] == [(batch["id"], "succeeded", [])]


async def test_a_branch_that_fails_ends_what_needs_it_and_lets_go_what_waits_for_that(
    server: httpx.AsyncClient, runner: FakeRunner
) -> None:
    runner.decide = lambda task: Outcome(exit_code=1 if task.job_name == "left" else 0)
    made = await submit(
        server,
        {"key": "top"},
        {"key": "left", "after": [{"key": "top"}]},
        {"key": "right", "after": [{"key": "top"}]},
        {"key": "join", "after": [{"key": "left"}, {"key": "right"}]},
        {"key": "after-join", "after": [{"key": "join"}]},
        {"key": "mend", "after": [{"key": "left", "on": "failure"}]},
        {"key": "tidy", "after": [{"key": "join", "on": "any"}]},
    )
    ended = await until_over(server, made.json()["id"])
    assert ended["state"] == "failed"
    assert states(ended) == {
        "top": S.SUCCEEDED,
        "left": S.FAILED,
        "right": S.SUCCEEDED,
        "join": S.CANCELED,
        "after-join": S.CANCELED,
        "mend": S.SUCCEEDED,
        "tidy": S.SUCCEEDED,
    }


@pytest.mark.parametrize(
    ("jobs", "fields"),
    [
        ([{"key": "a"}, {"key": "a"}], ["jobs.1.key"]),
        ([{"after": [{"key": "nobody"}]}], ["jobs.0.after.0.key"]),
        ([{"after": [{"key": "j0"}]}], ["jobs.0.after.0.key"]),
        ([{"after": [{"key": "j1"}]}, {"after": [{"key": "j0"}]}], ["jobs.0.after"]),
        ([{}, {"argv": []}, {"resources": {"cpus": -1}}], ["jobs.1.argv", "jobs.2.resources.cpus"]),
        ([{}, {"resources": {"cpus": 4000}}, {"image": "busybox"}], ["jobs.1.resources.cpus", "jobs.2.image"]),
        ([{}, {"after": [{"job": "job-" + "0" * 32}]}], ["jobs.1.after.0.job"]),
        ([{"after": [{"key": "a", "job": "job-" + "0" * 32}]}], ["jobs.0.after.0"]),
        ([{"cpus": 3}], ["jobs.0.cpus"]),
        ([{"project": "secret"}], ["jobs.0.project"]),
        ([{"key": "a/b"}], ["jobs.0.key"]),
        ([], ["jobs"]),
    ],
)
async def test_if_one_is_wrong_none_is_let_in(
    server: httpx.AsyncClient, runner: FakeRunner, jobs: list[dict[str, Any]], fields: list[str]
) -> None:
    before = (await server.get("/v1/jobs", params={"limit": 1000})).json()["items"]
    refused = await submit(server, *jobs)
    assert refused.status_code == 422, refused.text
    assert [error["field"] for error in refused.json()["errors"]] == fields
    assert (await server.get("/v1/jobs", params={"limit": 1000})).json()["items"] == before
    assert not runner.tasks


async def test_a_cycle_is_named_by_its_way(server: httpx.AsyncClient) -> None:
    refused = await submit(
        server,
        {"key": "free"},
        {"key": "a", "after": [{"key": "b"}, {"key": "free"}]},
        {"key": "b", "after": [{"key": "c"}]},
        {"key": "c", "after": [{"key": "a"}]},
        {"key": "behind", "after": [{"key": "c"}]},
    )
    assert "these wait for each other: a → b → c → a" in refused.json()["detail"]


async def test_the_same_key_and_request_is_the_same_batch(server: httpx.AsyncClient, runner: FakeRunner) -> None:
    headers = {"Idempotency-Key": "sweep-7"}
    first = await submit(server, {}, {}, headers=headers)
    again = await submit(server, {}, {}, headers=headers)
    other = await submit(server, {}, headers=headers)
    assert [first.status_code, again.status_code, other.status_code] == [201, 200, 422]
    assert other.json()["code"] == "idempotency_mismatch"
    assert again.headers["idempotent-replayed"] == "true"
    assert states(again.json()).keys() == states(first.json()).keys()
    assert [job["job_id"] for job in again.json()["jobs"]] == [job["job_id"] for job in first.json()["jobs"]]
    await until_over(server, first.json()["id"])
    assert len(runner.tasks) == 2


async def test_a_batch_is_ended_as_a_whole_and_nothing_goes_because_of_it(
    server: httpx.AsyncClient, runner: FakeRunner
) -> None:
    runner.decide = lambda _: Outcome(exit_code=None)
    made = await submit(server, {}, {"after": [{"key": "j0", "on": "any"}]}, {"hold": True})
    batch_id = made.json()["id"]
    canceled = await server.post(f"/v1/batches/{batch_id}/cancel")
    assert canceled.status_code == 202
    ended = await until_over(server, batch_id)
    assert (ended["state"], ended["counts"]) == ("canceled", {"canceled": 3})
    assert len(runner.tasks) <= 1
    again = await server.post(f"/v1/batches/{batch_id}/cancel")
    assert again.json()["state"] == "canceled"


async def test_what_is_not_yours_does_not_exist(server: httpx.AsyncClient, runner: FakeRunner) -> None:
    made = (await submit(server, {})).json()
    path, eve = f"/v1/batches/{made['id']}", as_user("eve")
    assert (await server.get(path, headers=eve)).status_code == 404
    assert (await server.post(f"{path}/cancel", headers=eve)).status_code == 404
    assert (await server.get("/v1/batches", headers=eve)).json()["items"] == []
    assert (await server.get(path, headers=as_user("bob"))).status_code == 200
    theirs = [{"after": [{"job": made["jobs"][0]["job_id"]}]}]
    refused = await server.post("/v1/batches", json={"jobs": [{"key": "a", **RUN, **theirs[0]}]}, headers=eve)
    assert refused.json()["errors"][0]["field"] == "jobs.0.after.0.job"
    await until_over(server, made["id"])
    assert runner.tasks


async def test_yaml_is_taken_where_the_type_says_so(server: httpx.AsyncClient, runner: FakeRunner) -> None:
    yaml = {"Content-Type": "application/yaml"}
    text = (
        "name: y\njobs:\n  - &one {key: a, argv: ['true']}\n  - <<: *one\n    key: b\n    after: [{key: a, on: any}]\n"
    )
    made = await server.post("/v1/batches", content=text, headers=yaml)
    assert made.status_code == 201, made.text
    await until_over(server, made.json()["id"])
    assert len(runner.tasks) == 2
    wrong = await server.post("/v1/batches", content="jobs:\n  - key: a\n    argv: x\n", headers=yaml)
    assert wrong.status_code == 422
    assert "line 3" in wrong.json()["errors"][0]["message"]
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n"
        for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    )
    for text in (bomb, "[" * 50_000, "a: &a [*a]", "x" * 2_000_000, "!!python/name:os.system", "jobs: [", "- a", ""):
        refused = await server.post("/v1/batches", content=text, headers=yaml)
        assert refused.status_code in {413, 422}, (text[:40], refused.text)


async def test_a_body_that_is_none_is_refused(server: httpx.AsyncClient) -> None:
    assert (await server.post("/v1/batches", content=b"{")).status_code == 400
    assert (await server.post("/v1/batches", content=b"")).status_code in {400, 422}
    assert (await server.post("/v1/batches", json=[])).status_code == 422
    many = {"jobs": [{"key": f"k{number}", **RUN} for number in range(1001)]}
    assert (await server.post("/v1/batches", json=many)).json()["errors"][0]["field"] == "jobs"
    large = {"jobs": [{"key": f"k{number}", "script": "#" * 900_000} for number in range(10)]}
    refused = await server.post("/v1/batches", content=json.dumps(large).encode())
    assert (refused.status_code, refused.json()["code"]) == (413, "too_large")


async def test_hundreds_may_wait_for_one(server: httpx.AsyncClient, runner: FakeRunner) -> None:
    jobs: list[dict[str, Any]] = [{"hold": True}, *({"after": [{"key": "j0"}]} for _ in range(299))]
    made = await submit(server, *jobs)
    assert made.status_code == 201, made.text
    assert made.json()["counts"] == {"accepted": 299, "held": 1}
    ended = await server.post(f"/v1/batches/{made.json()['id']}/cancel", timeout=60)
    assert ended.status_code == 202
    found = await until_over(server, made.json()["id"])
    assert found["counts"] == {"canceled": 300}
    assert not runner.tasks
