"""The other ways to a real Slurm: over SSH, by slurmrestd on a socket and over TCP, and with accounting."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import asyncssh
import pytest
import pytest_asyncio

from contracts.errors import RefusedError, UnavailableError
from contracts.states import Reason
from services.scheduler.backends.engines.base import EngineMeans, Launch, Native, NativeState, Order, Seen
from services.scheduler.backends.engines.slurm.engine import SlurmEngine
from services.scheduler.backends.engines.slurm.identity import number_of
from services.scheduler.backends.engines.slurm.settings import SlurmSettings
from tests.support.servers import free_ports
from tests.support.slurm_accounting import needs_accounting, run_slurm_with_accounting
from tests.support.slurm_cluster import SlurmCluster, needs_slurm, run_slurm, until
from tests.support.ssh_server import SshServer, needs_sshd, run_sshd

pytestmark = [pytest.mark.asyncio(loop_scope="module")]

_TELLS = '#!/bin/sh\necho "$SHUNTER_PILOT_NAME $WORD" >"$MARK"\nexit 3\n'

needs_rest = pytest.mark.skipif(shutil.which("slurmrestd") is None, reason="slurmrestd is not installed here")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster() -> AsyncIterator[SlurmCluster]:
    async with run_slurm(more="MinJobAge=2\n") as found:
        yield found


@asynccontextmanager
async def _engine(settings: SlurmSettings, folder: Path) -> AsyncIterator[SlurmEngine]:
    engine = SlurmEngine(settings, EngineMeans("hpc", f"t{uuid4().hex[:7]}", folder))
    try:
        yield engine
        left = [Native(one.name, one.native_id) for one in (await engine.look(())).values()]
        await engine.remove(left)
    finally:
        await engine.close()


def _order(engine: SlurmEngine, folder: Path, word: str, script: str = _TELLS, **more: object) -> Order:
    name = f"{engine.means.site}-{word}-1"
    env = {"SHUNTER_PILOT_NAME": name, "MARK": str(folder / word), "WORD": "it's $HOME"}
    launch = Launch(script, env, Path("/pilot"))
    values: dict[str, object] = {"cpus": 1, "memory": None, "gpus": 0, "walltime": 600, **more}
    return Order(name, "ada", "lab", "t", launch, **values)  # type: ignore[arg-type]


async def _ended(engine: SlurmEngine, natives: list[Native]) -> dict[str, Seen]:
    found: dict[str, Seen] = {}

    async def all_ended() -> bool:
        nonlocal found
        found = dict(await engine.look(natives))
        return all(one.name in found and found[one.name].state is NativeState.ENDED for one in natives)

    await until(all_ended)
    return found


async def _story(engine: SlurmEngine, folder: Path) -> None:
    """Two of a shape run and end, one is stopped, one is refused, and the room is told."""
    orders = [_order(engine, folder, "a"), _order(engine, folder, "b")]
    long = _order(engine, folder, "long", "#!/bin/sh\nexec sleep 300\n", cpus=2, gpus=1, gpu_model="a100")
    wrong = _order(engine, folder, "wrong", options={"partition": "nope"})
    answers = await engine.start([*orders, long, wrong])
    assert isinstance(answers[3].error, RefusedError)
    assert "artition" in answers[3].error.detail
    natives = [Native(one.name, answer.native_id) for one, answer in zip([*orders, long], answers[:3], strict=True)]
    assert await engine.start(orders) == answers[:2]
    found = await _ended(engine, natives[:2])
    assert [found[native.name].exit_code for native in natives[:2]] == [3, 3]
    assert (folder / "b").read_text() == f"{orders[1].name} it's $HOME\n"

    async def runs() -> bool:
        return (await engine.look(natives))[long.name].state is NativeState.RUNNING

    await until(runs)
    room = await engine.capacity()
    assert (room.cpus, room.gpus, room.gpus_free, room.gpu_models) == (8, 4, 3, ("a100",))
    await engine.stop(natives)
    await _ended(engine, natives[2:])
    await engine.remove(natives)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sshd(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SshServer]:
    async with run_sshd(tmp_path_factory.mktemp("sshd")) as found:
        yield found


@needs_slurm
@needs_sshd
async def test_over_ssh(cluster: SlurmCluster, sshd: SshServer, tmp_path: Path) -> None:
    async with _engine(cluster.settings(ssh=sshd.settings, every=0.2), tmp_path) as engine:
        await _story(engine, tmp_path)
        await sshd.drop_connections()
        await engine.capacity()  # the next call opens another connection


@needs_slurm
@needs_sshd
async def test_a_host_with_another_key_is_not_talked_to(cluster: SlurmCluster, sshd: SshServer, tmp_path: Path) -> None:
    key = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    strangers = tmp_path / "known_hosts"
    strangers.write_text(f"[127.0.0.1]:{sshd.settings['port']} {key}")
    for wrong in ({"known_hosts": str(strangers)}, {"port": 9}, {"key": str(tmp_path / "none")}):
        async with _engine_away(cluster.settings(ssh=sshd.settings | wrong), tmp_path) as engine:
            with pytest.raises(UnavailableError, match="does not answer by SSH"):
                await engine.look(())


@asynccontextmanager
async def _engine_away(settings: SlurmSettings, folder: Path) -> AsyncIterator[SlurmEngine]:
    engine = SlurmEngine(settings, EngineMeans("hpc", "t1", folder))
    yield engine
    await engine.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rest(cluster: SlurmCluster) -> Callable[[str], Awaitable[dict[str, object]]]:
    """Return how slurmrestd is reached by socket or by TCP."""

    async def start(way: str) -> dict[str, object]:
        if way == "socket":
            socket = cluster.folder / "rest.sock"
            await cluster.start_rest(f"unix:{socket}", "-a", "rest_auth/local")
            return {"url": f"unix://{socket}"}
        (port,) = free_ports(1)
        await cluster.start_rest(f"127.0.0.1:{port}", "-a", "rest_auth/jwt")
        token = cluster.folder / "token"
        token.write_text((await cluster.call("scontrol", "token", "lifespan=600")).partition("=")[2])
        return {"url": f"http://127.0.0.1:{port}", "user": "root", "token": str(token)}

    return start


@needs_slurm
@needs_rest
@pytest.mark.parametrize("way", ["socket", "tcp"])
async def test_by_slurmrestd(
    cluster: SlurmCluster, rest: Callable[[str], Awaitable[dict[str, object]]], way: str, tmp_path: Path
) -> None:
    async with _engine(cluster.settings(rest=await rest(way), every=0.2), tmp_path) as engine:
        await _story(engine, tmp_path)
    await cluster.kill("slurmrestd")
    with pytest.raises(UnavailableError, match="slurmrestd does not answer"):
        async with _engine_away(cluster.settings(rest={"url": "unix:///nowhere.sock"}), tmp_path) as engine:
            await engine.capacity()


async def _forgotten(cluster: SlurmCluster, natives: list[Native]) -> None:
    async def is_forgotten() -> bool:
        known = (await cluster.call("squeue", "--noheader", "--states=all", "--format=%i")).split()
        return not any(number_of(native.native_id) in known for native in natives)

    await until(is_forgotten)


@needs_slurm
async def test_jobs_that_slurm_forgot_are_looked_up_in_the_file_of_ended_jobs(
    cluster: SlurmCluster, tmp_path: Path
) -> None:
    async with _engine(cluster.settings(), tmp_path) as engine:
        order = _order(engine, tmp_path, "f")
        (answer,) = await engine.start([order])
        native = Native(order.name, answer.native_id)
        await _ended(engine, [native])
        await _forgotten(cluster, [native])
        found = await engine.look([native])
        assert (found[native.name].exit_code, found[native.name].node[:1]) == (3, "n")
        assert await engine.look([Native(f"{engine.means.site}-other-1", answer.native_id)]) == {}


@needs_accounting
async def test_with_accounting(tmp_path: Path) -> None:
    """Accounts and QOS are checked, and tasks of arrays are looked up when the queue has forgotten them."""
    folder = tmp_path / "accounting"
    folder.mkdir()
    async with run_slurm_with_accounting(folder, more="MinJobAge=2\n") as cluster:
        settings = cluster.settings(accounts={"lab": "lab"}, defaults={"qos": "fast"})
        async with _engine(settings, tmp_path) as engine:
            orders = [_order(engine, tmp_path, word) for word in ("a", "b", "c")]
            wrong = [
                _order(engine, tmp_path, f"w{n}", options=o) for n, o in enumerate(({"account": "other"}, {"qos": "x"}))
            ]
            answers = await engine.start([*orders, *wrong])
            assert [isinstance(answer.error, RefusedError) for answer in answers] == [False] * 3 + [True] * 2
            assert "Invalid account" in str(answers[3].error)
            assert "Invalid qos" in str(answers[4].error)
            natives = [Native(one.name, answer.native_id) for one, answer in zip(orders, answers[:3], strict=True)]
            await _ended(engine, natives)
            await _forgotten(cluster, natives)
            found = await _ended(engine, natives)  # slurmdbd writes a while later
            assert [found[native.name].exit_code for native in natives] == [3, 3, 3]
            jobs = f"--jobs={','.join(number_of(native.native_id) for native in natives)}"
            told = await cluster.call(
                "sacct", "--noheader", "--parsable2", "--allocations", jobs, "--format=Account,QOS"
            )
            assert told.split() == ["lab|fast"] * 3
            assert all(one.ending is not Reason.LOST for one in found.values())
