"""Ways to a real Slurm that break: SSH and slurmrestd. What comes of it is said, and nothing is there twice."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio

from contracts.errors import UnavailableError
from services.scheduler.backends.engines.base import Native, NativeState
from tests.support.fault_proxy import FaultProxy, Mode, run_proxy
from tests.support.servers import free_ports
from tests.support.slurm_bench import Bench
from tests.support.slurm_cluster import SlurmCluster, needs_slurm, run_slurm, until
from tests.support.ssh_server import SshServer, needs_sshd, run_sshd

pytestmark = [needs_slurm, pytest.mark.asyncio(loop_scope="module")]

needs_rest = pytest.mark.skipif(shutil.which("slurmrestd") is None, reason="slurmrestd is not installed here")

_SLOW_SBATCH = """\
#!/bin/sh
# The first call says that it began, and goes on when it is told to.
if mkdir {folder}/first 2>/dev/null; then
    {before}
    while [ ! -e {folder}/go ]; do sleep 0.05; done
    {after}
    touch {folder}/over
else
    exec {sbatch} "$@"
fi
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster() -> AsyncIterator[SlurmCluster]:
    async with run_slurm() as found:
        yield found


@asynccontextmanager
async def _bench(cluster: SlurmCluster, folder: Path, **settings: object) -> AsyncIterator[Bench]:
    found = Bench(cluster, f"t{uuid4().hex[:7]}", folder, last_words=1, **settings)
    try:
        yield found
    finally:
        with suppress(UnavailableError):
            await found.end()
        await found.engine.close()


async def _there(bench: Bench) -> list[str]:
    """Return the states of all jobs of ours that have not ended, as an admin sees them."""
    lines = (await bench.cluster.call("squeue", "--noheader", "--format=%j %T")).splitlines()
    return [line.split()[1] for line in lines if line.startswith(f"{bench.site}-")]


async def _works(bench: Bench) -> bool:
    with suppress(UnavailableError):
        await bench.engine.look(())
        return True
    return False


# --- SSH -------------------------------------------------------------------------------------------------------------


@pytest_asyncio.fixture(loop_scope="module")
async def sshd(tmp_path: Path) -> AsyncIterator[SshServer]:
    folder = tmp_path / "sshd"
    folder.mkdir()
    async with run_sshd(folder) as found:
        yield found


def _commands(folder: Path, before: str, after: str) -> str:
    """Make a folder of Slurm's commands whose first `sbatch` takes its time."""
    found = folder / "commands"
    found.mkdir()
    for name in ("squeue", "sacct", "scancel", "sinfo", "scontrol"):
        (found / name).symlink_to(str(shutil.which(name)))
    sbatch = found / "sbatch"
    sbatch.write_text(_SLOW_SBATCH.format(folder=found, before=before, after=after, sbatch=shutil.which("sbatch")))
    sbatch.chmod(0o755)
    return str(found)


_SUBMIT = f'{shutil.which("sbatch")} "$@"'


@needs_sshd
@pytest.mark.parametrize("is_taken", [True, False], ids=["taken", "not yet taken"])
async def test_a_connection_that_is_cut_in_mid_sbatch_doubles_nothing(
    cluster: SlurmCluster, sshd: SshServer, tmp_path: Path, is_taken: bool
) -> None:
    """Slurm has the job, and nobody heard of it; or it gets it when the same was submitted once more."""
    commands = _commands(tmp_path, *((_SUBMIT, ":") if is_taken else (":", _SUBMIT)))
    folder = Path(commands)
    async with _bench(cluster, tmp_path, ssh=sshd.settings, commands=commands) as bench:
        order = bench.order()
        starting = asyncio.create_task(bench.engine.start([order]))
        await until((folder / "first").exists)
        if is_taken:
            await until(lambda: _there(bench))
        await sshd.drop_connections()
        (answer,) = await starting
        assert isinstance(answer.error, UnavailableError)
        assert "does not answer by SSH" in answer.error.detail
        (native,) = await bench.start(order)
        (folder / "go").touch()
        await until((folder / "over").exists)
        await bench.reach([native])
        await until(lambda: _is_one(bench))
        assert (await bench.engine.look([native]))[native.name].state is NativeState.RUNNING


async def _is_one(bench: Bench) -> bool:
    await bench.engine.look(())  # it ends what is there twice
    return len(await _there(bench)) == 1


@needs_sshd
async def test_a_login_node_is_restarted(cluster: SlurmCluster, sshd: SshServer, tmp_path: Path) -> None:
    async with _bench(cluster, tmp_path, ssh=sshd.settings) as bench:
        (native,) = await bench.start(bench.order())
        await bench.reach([native])
        await sshd.stop()
        for _ in range(2):
            with pytest.raises(UnavailableError, match="does not answer by SSH"):
                await bench.engine.look([native])
        await sshd.start()
        assert (await bench.engine.look([native]))[native.name].native_id == native.native_id
        assert await bench.start(bench.order()) == [native]


@needs_sshd
async def test_a_host_whose_key_changed_is_not_talked_to_until_the_new_one_is_known(
    cluster: SlurmCluster, sshd: SshServer, tmp_path: Path
) -> None:
    async with _bench(cluster, tmp_path, ssh=sshd.settings) as bench:
        await bench.engine.look(())
        await sshd.stop()
        line = sshd.renew_host_key()
        await sshd.start()
        with pytest.raises(UnavailableError, match=r"does not answer by SSH: .*[Hh]ost key"):
            await bench.engine.look(())
        (answer,) = await bench.engine.start([bench.order()])
        assert isinstance(answer.error, UnavailableError)
        assert await _there(bench) == []
        (sshd.folder / "known").write_text(line)
        await bench.start(bench.order())


@needs_sshd
async def test_a_key_file_that_is_replaced_is_read_anew(cluster: SlurmCluster, sshd: SshServer, tmp_path: Path) -> None:
    async with _bench(cluster, tmp_path, ssh=sshd.settings) as bench:
        await bench.engine.look(())
        key = sshd.renew_user_key()
        await bench.engine.look(())  # the connection that there is goes on
        await sshd.drop_connections()
        assert not await _works(bench)
        with pytest.raises(UnavailableError, match="Permission denied"):
            await bench.engine.look(())
        (sshd.folder / "user").write_bytes(key)
        await bench.engine.look(())


# --- slurmrestd ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def proxy() -> Iterator[FaultProxy]:
    with run_proxy() as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def restd(cluster: SlurmCluster, proxy: FaultProxy) -> Callable[[], Awaitable[None]]:
    """Return what starts slurmrestd anew, behind the proxy."""
    (port,) = free_ports(1)
    proxy.add("rest", port)

    async def start() -> None:
        await cluster.start_rest(f"127.0.0.1:{port}", "-a", "rest_auth/jwt")

    if shutil.which("slurmrestd"):
        await start()
    return start


async def _token(cluster: SlurmCluster, seconds: int = 600) -> str:
    return (await cluster.call("scontrol", "token", f"lifespan={seconds}")).partition("=")[2]


@pytest_asyncio.fixture(loop_scope="module")
async def by_rest(cluster: SlurmCluster, proxy: FaultProxy, restd: object, tmp_path: Path) -> AsyncIterator[Bench]:
    token = tmp_path / "token"
    token.write_text(await _token(cluster))
    rest = {"url": f"http://127.0.0.1:{proxy.links['rest'].port}", "user": "root", "token": str(token)}
    proxy.heal()
    async with _bench(cluster, tmp_path, rest=rest, timeout=5) as bench:
        yield bench
        proxy.heal()


@needs_rest
async def test_a_slurmrestd_that_is_restarted(
    by_rest: Bench, restd: Callable[[], Awaitable[None]], cluster: SlurmCluster
) -> None:
    (native,) = await by_rest.start(by_rest.order())
    await by_rest.reach([native])
    await cluster.kill("slurmrestd")
    with pytest.raises(UnavailableError, match="slurmrestd does not answer"):
        await by_rest.engine.look([native])
    (answer,) = await by_rest.engine.start([by_rest.order("b")])
    assert isinstance(answer.error, UnavailableError)
    await restd()
    await until(lambda: _works(by_rest))
    assert list(await by_rest.engine.look([native])) == [native.name]
    assert await by_rest.start(by_rest.order()) == [native]


@needs_rest
async def test_a_token_that_ran_out_is_said_and_a_new_one_is_read_from_its_file(by_rest: Bench) -> None:
    token = by_rest.folder / "token"
    token.write_text(await _token(by_rest.cluster, 1))

    async def has_run_out() -> bool:
        return not await _works(by_rest)

    await until(has_run_out)
    with pytest.raises(UnavailableError, match="our token has run out"):
        await by_rest.engine.look(())
    token.unlink()
    with pytest.raises(UnavailableError, match="token of slurmrestd cannot be read"):
        await by_rest.engine.look(())
    token.write_text(await _token(by_rest.cluster))
    await by_rest.start(by_rest.order())


@needs_rest
@pytest.mark.parametrize("body", [b"<html>Bad gateway</html>", b'{"message": "bad gateway"}', b'{"jobs": []}'])
async def test_a_failure_of_a_proxy_before_it_is_no_empty_queue(by_rest: Bench, proxy: FaultProxy, body: bytes) -> None:
    (native,) = await by_rest.start(by_rest.order())
    head = f"HTTP/1.1 502 Bad Gateway\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    proxy.reset("rest")
    with suppress(UnavailableError):
        await by_rest.engine.look(())  # it learns that its connection is gone
    proxy.reset("rest")
    proxy.greet("rest", head.encode() + body)
    with pytest.raises(UnavailableError, match="slurmrestd"):
        await by_rest.engine.look([native])
    await until(lambda: _works(by_rest))
    assert list(await by_rest.engine.look([native])) == [native.name]


@needs_rest
async def test_a_controller_that_is_away_is_not_the_jobs_fault(by_rest: Bench, cluster: SlurmCluster) -> None:
    (native,) = await by_rest.start(by_rest.order())
    await by_rest.reach([native])
    await cluster.saved()
    await cluster.kill("slurmctld")
    try:
        with pytest.raises(UnavailableError, match="slurmrestd"):
            await by_rest.engine.look([native])
        (answer,) = await by_rest.engine.start([by_rest.order("b")])
        assert isinstance(answer.error, UnavailableError)
        with pytest.raises(UnavailableError):
            await by_rest.engine.stop([native])
    finally:
        await cluster.start_controller()
    assert (await by_rest.reach([native]))[native.name].native_id == native.native_id


@needs_rest
async def test_a_slow_one_is_given_up_and_nothing_was_started(by_rest: Bench, proxy: FaultProxy) -> None:
    await by_rest.engine.look(())
    proxy.set("rest", Mode.HANG)
    (answer,) = await by_rest.engine.start([by_rest.order()])
    assert isinstance(answer.error, UnavailableError)
    assert "slurmrestd said nothing for 5 s" in answer.error.detail
    proxy.set("rest", Mode.OPEN)
    await until(lambda: _works(by_rest))
    assert await _there(by_rest) == []
    await by_rest.start(by_rest.order())


@needs_rest
async def test_what_was_taken_with_an_answer_that_cannot_be_read_is_found_by_its_name(
    by_rest: Bench, proxy: FaultProxy
) -> None:
    proxy.lie("rest", b'"step_id"', b'"step_id}')
    (answer,) = await by_rest.engine.start([by_rest.order()])
    assert isinstance(answer.error, UnavailableError)
    assert "slurmrestd answers 200" in answer.error.detail
    proxy.heal()
    natives = await by_rest.start(by_rest.order())
    await by_rest.reach(natives)
    assert await _there(by_rest) == ["RUNNING"]


@needs_rest
async def test_natives_of_an_older_version_are_known_without_a_time(by_rest: Bench) -> None:
    (native,) = await by_rest.start(by_rest.order())
    old = Native(native.name, native.native_id.partition("@")[0])
    await by_rest.reach([old])
    await by_rest.engine.stop([old])
    await by_rest.reach([old], NativeState.ENDED)
