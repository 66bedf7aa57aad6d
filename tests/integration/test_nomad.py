"""What the Nomad engine promises, on the simulator and on a real server if there is one. Through Nomad's API alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
import pytest_asyncio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from contracts.errors import RefusedError, UnavailableError
from contracts.states import Reason
from services.chassis.http import serve_http
from services.chassis.settings import Server
from services.scheduler.backends.engines.base import Native, NativeState
from tests.support.nomad_site import ADDRESS, NomadSite, open_real, open_simulated
from tests.support.servers import free_ports

_REAL = pytest.param("real", marks=pytest.mark.skipif(not ADDRESS, reason="SHUNTER_TEST_NOMAD_ADDR names no server"))


_TEMPLATE = """
job "module-${JOB_UUID}" {
  type     = "batch"
  priority = ${PRIORITY}
  group "usergroup" {
    task "main" {
      driver = "${DRIVER}"
      env {
        WHO   = "${OWNER}"
        TITLE = "${TITLE} $${NOT_THERE}"
      }
      resources {
        cpu    = ${MHZ}
        memory = 128
      }
    }
  }
}
"""


_FETCHING = """
job "fetching" {
  group "run" {
    task "main" {
      driver = "${DRIVER}"
      artifact {
        source      = "${PILOT_URL}"
        destination = "local/pilot.pyz"
        mode        = "file"
        options {
          checksum = "sha256:${PILOT_SHA256}"
        }
      }
      env {
        SHUNTER_PILOT_FILE = "${NOMAD_TASK_DIR}/pilot.pyz"
      }
    }
  }
}
"""


@pytest_asyncio.fixture(params=["simulator", _REAL])
async def nomad(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[NomadSite]:
    opened = open_real(tmp_path) if request.param == "real" else open_simulated(tmp_path)
    async with opened as site:
        yield site


async def test_a_job_runs_and_its_exit_code_is_told(nomad: NomadSite) -> None:
    native = await nomad.start(nomad.order('test "$SHUNTER_PILOT_NAME" = "' + nomad.site + '" || exit 7'))
    seen = await nomad.ended(native)
    assert (seen.ending, seen.exit_code) == (None, 7)
    assert seen.node in {node["Name"] for node in await nomad.nodes()}


async def test_a_job_that_is_started_twice_is_one(nomad: NomadSite) -> None:
    order = nomad.order("sleep 60")
    first = await nomad.start(order)
    assert await nomad.start(order) == first
    await nomad.running(first)
    allocs = await nomad.ask("GET", "/v1/allocations", namespace="*")
    assert len([alloc for alloc in allocs if alloc["JobID"] == order.name]) == 1


async def test_a_stopped_job_has_time_for_its_last_words(nomad: NomadSite) -> None:
    native = await nomad.start(nomad.order("trap 'exit 3' TERM; while :; do sleep 0.1; done"))
    await nomad.running(native)
    await nomad.engine.stop([native])
    seen = await nomad.ended(native)
    assert seen.ending is Reason.CANCELED


async def test_a_job_for_a_device_that_is_taken_waits_and_says_why(nomad: NomadSite) -> None:
    gpus = (await nomad.engine.capacity()).gpus
    if not gpus:
        pytest.skip("no node of this cluster has a GPU")
    holding = await nomad.start(nomad.order("sleep 60", gpus=gpus))
    await nomad.running(holding)
    waiting = await nomad.start(nomad.order("exit 0", gpus=1))
    seen = await nomad.until(waiting, lambda seen: "no devices match request" in seen.reason)
    assert seen.state is NativeState.WAITING
    await nomad.engine.stop([holding])
    assert (await nomad.ended(waiting)).exit_code == 0


async def test_a_job_that_waits_is_taken_out(nomad: NomadSite) -> None:
    native = await nomad.start(nomad.order("exit 0", memory=2**40))
    seen = await nomad.until(native, lambda seen: "memory" in seen.reason)
    assert seen.state is NativeState.WAITING
    await nomad.engine.stop([native])
    assert (await nomad.ended(native)).ending is Reason.CANCELED
    await nomad.engine.remove([native])
    assert native.name not in await nomad.engine.look([native])


async def test_what_nomad_finds_wrong_is_refused(nomad: NomadSite) -> None:
    wrong = {"constraints": [{"attribute": "${attr.cpu.arch}", "operator": "regexp", "value": "("}]}
    (started,) = await nomad.engine.start([nomad.order("exit 0", options=wrong)])
    assert isinstance(started.error, RefusedError)
    assert "compile" in started.error.detail


async def test_a_namespace_that_is_not_there_is_named(nomad: NomadSite) -> None:
    async with nomad.other(namespaces={"lab": "no-such-namespace"}) as engine:
        (started,) = await engine.start([nomad.order("exit 0", project="lab")])
    assert started.error is not None
    assert "'no-such-namespace'" in started.error.detail


async def test_a_collected_job_is_forgotten(nomad: NomadSite) -> None:
    native = await nomad.start(nomad.order("exit 0"))
    await nomad.ended(native)
    while native.name in await nomad.engine.look([native]):
        await nomad.ask("PUT", "/v1/system/gc")


async def test_what_users_write_stays_what_they_wrote(nomad: NomadSite) -> None:
    title = "\"} ${NAME} $${x} ${attr.cpu.arch} %{ if true }\n'`$(id)"
    native = await nomad.start(replace(nomad.order("exit 0"), title=title, owner='user:"}'))
    said = await nomad.ask("GET", f"/v1/job/{native.name}", namespace="default")
    assert said["Meta"] == {
        "owner": 'user:"}',
        "project": "",
        "title": "\"} $ {NAME} $$ {x} $ {attr.cpu.arch} %{ if true } '`$(id)",
    }


async def test_a_template_of_the_site_shapes_the_job(nomad: NomadSite, tmp_path: Path) -> None:
    template = tmp_path / "nomad.hcl"
    template.write_text(_TEMPLATE)
    async with nomad.other(template=template) as engine:
        native = await nomad.start(
            nomad.order('test "$WHO/$TITLE" = "user:ann/a test \\${NOT_THERE}" || exit 9', priority=11), engine
        )
    assert (await nomad.ended(native)).exit_code == 0
    said = await nomad.ask("GET", f"/v1/job/{native.name}", namespace="default")
    assert (said["Name"], said["Priority"], said["TaskGroups"][0]["Tasks"][0]["Resources"]["MemoryMB"]) == (
        native.name,
        61,
        128,
    )


@pytest.mark.parametrize(("checksum", "ending"), [(sha256(b"pilot").hexdigest(), None), ("0" * 64, Reason.REFUSED)])
async def test_nomad_may_fetch_the_pilot(
    nomad: NomadSite, tmp_path: Path, checksum: str, ending: Reason | None
) -> None:
    async def pilot(_request: Request) -> Response:
        return Response(b"pilot")

    (port,) = free_ports(1)
    template = tmp_path / "nomad.hcl"
    template.write_text(_FETCHING)
    env = {"SHUNTER_PILOT_URL": f"http://127.0.0.1:{port}/pilot?a=b&c=d", "SHUNTER_PILOT_SHA256": checksum}
    app = Starlette(routes=[Route("/pilot", pilot)])
    async with serve_http(app, Server(port=port)), nomad.other(template=template) as engine:
        native = await nomad.start(nomad.order('test "$(cat "$SHUNTER_PILOT_FILE")" = pilot', env=env), engine)
        seen = await nomad.ended(native)
    assert (seen.ending, seen.exit_code) == (ending, 0 if ending is None else None)


async def test_a_template_that_cannot_be_parsed_is_told_of(nomad: NomadSite, tmp_path: Path) -> None:
    template = tmp_path / "nomad.hcl"
    template.write_text('job "x" {')
    async with nomad.other(template=template) as engine:
        (started,) = await engine.start([nomad.order("exit 0")])
    assert isinstance(started.error, UnavailableError)
    assert "nomad.hcl" in started.error.detail


async def test_many_jobs_are_looked_at_with_few_calls(nomad: NomadSite) -> None:
    orders = [nomad.order("exit 0", cpus=0.01, memory=32 * 2**20) for _ in range(20)]
    started = await nomad.engine.start(orders)
    natives = [Native(order.name, each.native_id) for order, each in zip(orders, started, strict=True)]
    nomad.started += natives
    for native in natives:
        assert (await nomad.ended(native)).exit_code == 0
    async with nomad.counting() as calls:
        assert set(await nomad.engine.look(natives)) >= {native.name for native in natives}
    assert len(calls) == 1


async def test_what_is_gone_is_stopped_in_silence(nomad: NomadSite) -> None:
    gone = [Native(f"{nomad.site}-gone", f"default/{nomad.site}-gone"), Native(f"{nomad.site}-never", "")]
    await nomad.engine.stop(gone)
    await nomad.engine.remove(gone)


async def test_a_drained_node_interrupts(nomad: NomadSite) -> None:
    native = await nomad.start(nomad.order("sleep 60"))
    where = (await nomad.running(native)).node
    (node,) = [each["ID"] for each in await nomad.nodes() if each["Name"] == where]
    try:
        await nomad.ask("POST", f"/v1/node/{node}/drain", {"DrainSpec": {"Deadline": -1}})
        seen = await nomad.ended(native)
    finally:
        await nomad.ask("POST", f"/v1/node/{node}/drain", {"DrainSpec": None, "MarkEligible": True})
    assert seen.ending is Reason.INTERRUPTED
    assert "migrated" in seen.reason
