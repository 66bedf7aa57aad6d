"""The Nomad engine when something is wrong with cluster, token or node: what only a simulator does when told."""

from __future__ import annotations

from collections.abc import AsyncIterator
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
from services.chassis.settings import Server, Tls
from services.scheduler.backends.engines.base import Native, NativeState
from services.scheduler.backends.engines.nomad.engine import NomadEngine
from services.scheduler.backends.engines.nomad.settings import NomadSettings, NomadTls
from tests.support.certificates import Authority
from tests.support.chassis import until
from tests.support.nomad_sim.acl import Policy
from tests.support.nomad_sim.app import serve_simulator
from tests.support.nomad_sim.simulator import Simulator
from tests.support.nomad_sim.store import SimNode
from tests.support.nomad_site import POLICY, NomadSite, open_simulated
from tests.support.servers import free_ports

_HOG = "exec python3 -c 'import time; x = bytearray(200 * 2**20); time.sleep(60)'"


@pytest_asyncio.fixture
async def nomad(tmp_path: Path) -> AsyncIterator[NomadSite]:
    async with open_simulated(tmp_path) as site:
        yield site


def _simulator(nomad: NomadSite) -> Simulator:
    assert nomad.simulator is not None
    return nomad.simulator


async def test_a_lost_node_loses_its_jobs_even_if_nomad_starts_them_elsewhere(nomad: NomadSite) -> None:
    native = await nomad.start(nomad.order("sleep 60"))
    where = (await nomad.running(native)).node
    _simulator(nomad).lose(_simulator(nomad).node(where))
    seen = await nomad.ended(native)
    assert (seen.ending, seen.node) == (Reason.LOST, where)
    assert "down" in seen.reason
    allocs = await nomad.ask("GET", "/v1/allocations", namespace="*")
    assert len(allocs) == 2, "Nomad made another one, which is not believed"
    await nomad.engine.remove([native])
    await nomad.gone(native)


async def test_a_job_that_somebody_purged_is_seen_until_its_program_is_gone(nomad: NomadSite, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    script = f"trap 'sleep 4; exit 0' TERM; : >{ready}; while :; do sleep 0.1; done"
    native = await nomad.start(nomad.order(script))
    await nomad.running(native)
    await until(ready.exists)
    await nomad.ask("DELETE", f"/v1/job/{native.name}", purge="true", namespace="default")
    seen = (await nomad.engine.look([native]))[native.name]
    assert (seen.state, seen.reason) == (NativeState.RUNNING, "its job was purged")
    await nomad.gone(native)


async def test_an_image_that_is_not_there_is_refused(nomad: NomadSite) -> None:
    seen = await nomad.ended(await nomad.start(nomad.order("exit 0", image="lab/none:1")))
    assert seen.ending is Reason.REFUSED
    assert "lab/none:1" in seen.reason


async def test_an_image_that_is_there_runs(nomad: NomadSite) -> None:
    _simulator(nomad).images.add("lab/some:1")
    seen = await nomad.ended(await nomad.start(nomad.order("exit 4", image="lab/some:1")))
    assert seen.exit_code == 4


async def test_too_much_memory_is_told_apart(nomad: NomadSite) -> None:
    async with nomad.other(driver="exec") as engine:
        seen = await nomad.ended(await nomad.start(nomad.order(_HOG), engine))
    assert seen.ending is Reason.MEMORY


async def test_a_job_gets_its_gpus_by_model(nomad: NomadSite) -> None:
    native = await nomad.start(nomad.order('test "$CUDA_VISIBLE_DEVICES" = GPU-n1-0', gpus=1, gpu_model="t4"))
    assert (await nomad.ended(native)).exit_code == 0
    waits = await nomad.start(nomad.order("exit 0", gpus=1, gpu_model="T400"))
    seen = await nomad.until(waits, lambda seen: "devices" in seen.reason)
    assert seen.state is NativeState.WAITING


async def test_a_model_may_be_said_by_the_nodes_meta(nomad: NomadSite) -> None:
    async with nomad.other(gpu_meta="gpu") as engine:
        room = await engine.capacity()
        assert (room.gpu_models, room.gpus) == (("T4",), 2)
        native = await nomad.start(nomad.order("exit 0", gpus=1, gpu_model="T4"), engine)
    assert (await nomad.ended(native)).exit_code == 0


async def test_capacity_counts_what_is_given_and_leaves_out_what_is_closed(nomad: NomadSite) -> None:
    simulator = _simulator(nomad)
    await nomad.running(await nomad.start(nomad.order("sleep 60", cpus=1.5, memory=2**30, gpus=1)))
    room = await nomad.engine.capacity()
    assert (room.cpus, room.cpus_free, room.largest_cpus) == (8.0, 6.5, 4.0)
    assert (room.memory, room.memory_free) == (6 * 2**30, 5 * 2**30)
    assert (room.gpus, room.gpus_free, room.gpu_models) == (2, 1, ("Tesla T4",))
    assert (room.running, room.queued) == (1, 0)
    simulator.drain(simulator.node("n2"), deadline=None)
    assert (await nomad.engine.capacity()).cpus == 4.0
    simulator.lose(simulator.node("n1"))
    assert (await nomad.engine.capacity()).cpus == 0.0


async def test_whole_cores_are_reserved_where_the_site_says_so(nomad: NomadSite) -> None:
    async with nomad.other(cores=True) as engine:
        native = await nomad.start(nomad.order("sleep 60", cpus=1.2), engine)
        await nomad.running(native)
        assert ((await engine.capacity()).cpus_free, (await engine.capacity()).cpus) == (6.0, 8.0)


async def test_jobs_go_to_the_namespace_of_their_project(nomad: NomadSite, tmp_path: Path) -> None:
    simulator = _simulator(nomad)
    await nomad.ask("POST", "/v1/namespace", {"Name": "lab-space"})
    token = (tmp_path / "token").read_text().strip()
    simulator.acl.tokens[token] = Policy.parse(POLICY.read_text().replace('"default"', '"lab-*"'))
    async with nomad.other(namespaces={"lab": "lab-space"}) as engine:
        native = await nomad.start(nomad.order("sleep 60", project="lab"), engine)
        assert native.native_id == f"lab-space/{native.name}"
        await nomad.running(native)
        await engine.stop([Native(native.name, "")])
        assert (await nomad.ended(native)).ending is Reason.CANCELED
        (started,) = await engine.start([nomad.order("exit 0")])
        assert isinstance(started.error, UnavailableError)
        assert "submit-job in namespace 'default'" in started.error.detail


async def test_a_namespace_that_nobody_made_is_refused(nomad: NomadSite, tmp_path: Path) -> None:
    token = (tmp_path / "token").read_text().strip()
    _simulator(nomad).acl.tokens[token] = Policy(management=True)
    async with nomad.other(namespace="nowhere") as engine:
        (started,) = await engine.start([nomad.order("exit 0")])
    assert isinstance(started.error, RefusedError)
    assert "no namespace 'nowhere'" in started.error.detail


async def test_a_token_without_rights_is_no_empty_cluster(nomad: NomadSite, tmp_path: Path) -> None:
    native = await nomad.start(nomad.order("sleep 60"))
    await nomad.running(native)
    token = (tmp_path / "token").read_text().strip()
    _simulator(nomad).acl.tokens[token] = Policy()
    with pytest.raises(UnavailableError, match="list-jobs in namespace 'default'"):
        await nomad.engine.look([native])
    with pytest.raises(UnavailableError, match="node:read"):
        await nomad.engine.capacity()
    _simulator(nomad).acl.tokens[token] = Policy.parse(POLICY.read_text())
    assert native.name in await nomad.engine.look([native])


async def test_a_token_may_be_exchanged_and_may_be_missing(nomad: NomadSite, tmp_path: Path) -> None:
    token = (tmp_path / "token").read_text()
    (tmp_path / "token").write_text("of-nobody")
    with pytest.raises(UnavailableError, match="ACL token not found"):
        await nomad.engine.capacity()
    (tmp_path / "token").unlink()
    with pytest.raises(UnavailableError, match="cannot be read"):
        await nomad.engine.capacity()
    (tmp_path / "token").write_text(token)
    assert (await nomad.engine.capacity()).cpus == 8.0


async def test_trouble_is_told_and_gets_over(nomad: NomadSite) -> None:
    native = await nomad.start(nomad.order("sleep 60"))
    await nomad.running(native)
    _simulator(nomad).failing = 2
    with pytest.raises(UnavailableError, match="500: No cluster leader"):
        await nomad.engine.look([native])
    with pytest.raises(UnavailableError, match="500"):
        await nomad.engine.stop([native])
    assert native.name in await nomad.engine.look([native])


async def test_a_registration_whose_answer_was_lost_is_found(nomad: NomadSite) -> None:
    order = nomad.order("sleep 60")
    native = await nomad.start(order)
    _simulator(nomad).failing = 1
    (again,) = await nomad.engine.start([order])
    assert (again.native_id, again.error) == (native.native_id, None)
    _simulator(nomad).failing = 2
    (lost,) = await nomad.engine.start([order])
    assert isinstance(lost.error, UnavailableError)


async def test_a_cluster_that_is_away_is_said_to_be(tmp_path: Path, nomad: NomadSite) -> None:
    engine = NomadEngine(NomadSettings(address="http://127.0.0.1:9"), nomad.means)
    with pytest.raises(UnavailableError, match="does not answer"):
        await engine.look([])
    (started,) = await engine.start([nomad.order("exit 0")])
    assert isinstance(started.error, UnavailableError)
    await engine.close()


@pytest.mark.parametrize(
    "said", ["<html>", '{"a": 1}', "[1]", '[{"ID": "SITE-1"}]', '[{"ID": "SITE-1", "ModifyIndex": "x"}]']
)
async def test_what_is_no_answer_of_nomads_is_no_empty_cluster(nomad: NomadSite, said: str) -> None:
    async def answer(_request: Request) -> Response:
        return Response(said.replace("SITE", nomad.site))

    (port,) = free_ports(1)
    app = Starlette(routes=[Route("/v1/{rest:path}", answer)])
    async with (
        serve_http(app, Server(port=port)),
        nomad.other(address=f"http://127.0.0.1:{port}") as engine,
    ):
        with pytest.raises(UnavailableError, match=r"not answered as|not what it should be"):
            await engine.look([])


async def test_a_server_is_known_by_its_certificate_and_we_by_ours(tmp_path: Path, nomad: NomadSite) -> None:
    (tmp_path / "tls").mkdir()
    authority = Authority(tmp_path / "tls", "lab")
    (certificate, key), (ours, our_key) = authority.server(), authority.client()
    server = Tls(certificate=Path(certificate), key=Path(key), client_ca=authority.file, client_certificates="required")
    async with serve_simulator(Simulator(tmp_path / "other"), server) as address:
        for tls, said in (
            (NomadTls(), "CERTIFICATE_VERIFY_FAILED|does not answer"),
            (NomadTls(ca_file=authority.file), "does not answer"),
            (_tls(authority, ours, our_key, "server.global.nomad"), "does not answer"),
        ):
            async with nomad.other(address=address, tls=tls) as engine:
                with pytest.raises(UnavailableError, match=said):
                    await engine.look([])
        async with nomad.other(address=address, tls=_tls(authority, ours, our_key)) as engine:
            assert await engine.look([]) == {}


def _tls(authority: Authority, certificate: str, key: str, name: str | None = None) -> NomadTls:
    return NomadTls(ca_file=authority.file, cert_file=Path(certificate), key_file=Path(key), server_name=name)


async def test_the_policy_that_we_ship_is_what_is_needed(nomad: NomadSite) -> None:
    policy = Policy.parse(POLICY.read_text())
    native = await nomad.start(nomad.order("sleep 60"))
    await nomad.running(native)
    await nomad.engine.capacity()
    await nomad.engine.stop([native])
    await nomad.ended(native)
    await nomad.engine.remove([native])
    (granted,) = policy.namespaces.values()
    assert _simulator(nomad).acl.needed == {*granted, f"node:{policy.node}"}


async def test_a_job_on_no_node_that_is_open_says_so(tmp_path: Path) -> None:
    async with open_simulated(tmp_path, SimNode("n1", datacenter="dc7", drivers=("docker",))) as nomad:
        native = await nomad.start(nomad.order("exit 0"))
        seen = await nomad.until(native, lambda seen: "missing drivers" in seen.reason)
        assert seen.state is NativeState.WAITING
        _simulator(nomad).node("n1").eligible = False
        other = await nomad.start(nomad.order("exit 0"))
        await nomad.until(other, lambda seen: "no node is ready in dc7" in seen.reason)
