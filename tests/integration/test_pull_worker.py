"""Our own worker over REST: what it runs, what it is told, and what becomes of a job whose worker is killed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.fault_proxy import Mode, run_proxy
from tests.support.pull_site import PullSite, run_pull_site
from tests.support.pull_workers import lives, pid_of, until_gone, worker_process, working
from tests.support.pulling import poll
from tests.support.servers import S3

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory, temporal: str, s3: S3) -> AsyncIterator[PullSite]:
    async with run_pull_site(Path(tmp_path_factory.mktemp("worked")), temporal, s3) as found:
        yield found


async def test_a_job_brings_its_files_and_leaves_results_and_logs_behind(site: PullSite, tmp_path: Path) -> None:
    await site.keep("data/numbers.txt", b"3\n1\n2\n")
    async with working(site, tmp_path / "work"):
        job = await site.submit_any(
            script="sort numbers.txt | tee sorted/all.txt; echo done >&2",
            inputs=[{"source": "data/numbers.txt"}, {"source": "data/numbers.txt", "path": "sorted/before.txt"}],
            outputs=[{"path": "sorted/all.txt", "to": "output/sorted"}, {"path": "numbers.txt"}],
        )
        ended = await site.until(job)
        logs = await site.ask("ada", "GET", f"/v1/jobs/{job}/logs", params={"stream": "stdout"})
    assert (ended["state"], ended["exit_code"], ended["backend"]) == ("succeeded", 0, "pull")
    assert (ended["allocation"]["node"], ended["usage"]["wall_seconds"] > 0) == ("wim/box", True)
    assert await site.read("output/sorted/sorted/all.txt") == b"1\n2\n3\n"
    assert await site.read(f"jobs/{job}/outputs/numbers.txt") == b"3\n1\n2\n"
    assert logs.content == b"1\n2\n3\n"


async def test_a_cancel_ends_the_program_and_a_failure_is_told_with_its_code(site: PullSite, tmp_path: Path) -> None:
    async with working(site, tmp_path / "work"):
        long = await site.submit_any(script="echo $$ > pid; exec sleep 600")
        failing = await site.submit_any(script="exit 7")
        assert (await site.until(failing))["exit_code"] == 7
        await site.until(long, "running")
        pid = await pid_of(tmp_path / "work" / f"{long}.1")
        (await site.ask("ada", "POST", f"/v1/jobs/{long}/cancel")).raise_for_status()
        assert (await site.until(long))["state"] == "canceled"
        assert not lives(pid)


async def test_a_worker_that_is_killed_in_the_middle_leaves_the_job_to_another_one(
    site: PullSite, tmp_path: Path
) -> None:
    script = 'echo $$ > pid; echo "$SHUNTER_ATTEMPT" > who.txt; [ "$SHUNTER_ATTEMPT" = 2 ] || exec sleep 600'
    async with worker_process(site, tmp_path / "first", "wim") as first:
        job = await site.submit_any(script=script, outputs=[{"path": "who.txt", "to": "output/killed"}])
        await site.until(job, "running")
        pid = await pid_of(tmp_path / "first" / "work" / f"{job}.1")
        async with worker_process(site, tmp_path / "second", "wes"):
            first.kill()
            ended = await site.until(job)
    assert (ended["state"], ended["attempt"], ended["allocation"]["node"]) == ("succeeded", 2, "wes/wes")
    # The first one comes back and finds that its job is another's: it ends what still runs, and that is all.
    assert lives(pid)
    async with worker_process(site, tmp_path / "first", "wim"):
        await until_gone(pid)
    history = (await site.ask("ada", "GET", f"/v1/jobs/{job}/history")).json()["transitions"]
    assert [move["state"] for move in history].count("succeeded") == 1
    assert ((await site.job(job))["attempt"], await site.read("output/killed/who.txt")) == (2, b"2\n")


async def test_a_worker_that_comes_back_in_time_goes_on_with_what_runs(site: PullSite, tmp_path: Path) -> None:
    before, site.pull.lease = site.pull.lease, 60.0
    try:
        async with worker_process(site, tmp_path / "box", "wim") as first:
            job = await site.submit_any(script="echo $$ > pid; while [ ! -e go ]; do sleep 0.05; done; echo went")
            await site.until(job, "running")
            run = tmp_path / "box" / "work" / f"{job}.1"
            pid = await pid_of(run)
            first.kill()
            await first.wait()
        async with worker_process(site, tmp_path / "box", "wim"):
            assert lives(pid)
            (run / "work" / "go").touch()
            ended = await site.until(job)
            logs = await site.ask("ada", "GET", f"/v1/jobs/{job}/logs", params={"stream": "stdout"})
    finally:
        site.pull.lease = before
    assert (ended["state"], ended["attempt"], logs.content) == ("succeeded", 1, b"went\n")


async def test_results_for_which_there_is_no_room_stay_away_as_a_whole(site: PullSite, tmp_path: Path) -> None:
    await site.limit("output/narrow", 100)
    before = await site.used()
    async with working(site, tmp_path / "work"):
        job = await site.submit_any(
            script="mkdir d; head -c 60 /dev/zero >d/fits; head -c 9000000 /dev/zero >d/large; echo all the same",
            outputs=[{"path": "d", "to": "output/narrow"}],
        )
        ended = await site.until(job)
    assert (ended["state"], ended["reason"], ended["exit_code"]) == ("failed", "staging", 0)
    assert ended["message"].startswith("quota: outputs/d/large: the folder output/narrow/ may come to 100B")
    assert ended["tail"] == "all the same\n"
    assert await site.read("output/narrow/d/fits") == bytes(60)
    assert (await site.ask("ada", "GET", "/v1/files/output/narrow/d/large")).status_code == 404
    after = await site.used()
    assert (after["size"] - before["size"], after["uploads"]["files"]) == (60 + len("all the same\n"), 0)


async def test_tasks_of_an_array_are_taken_one_by_one_and_bring_their_own(site: PullSite, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        await site.keep(f"parts/{name}", f"part {name}\n".encode())
    await site.keep("parts/all", b"all\n")
    script = 'cat all "mine" | tee out/$SHUNTER_ARRAY_ITEM; [ "$SHUNTER_ARRAY_ITEM" != b ]'
    async with working(site, tmp_path / "work"):
        job = await site.submit_any(
            script=f"mkdir out; {script}",
            array={"items": ["a", "b", "c"]},
            inputs=[{"source": "parts/all"}, {"source": "parts/{item}", "path": "mine"}],
            outputs=[{"path": "out/{item}"}],
        )
        ended = await site.until(job)
        tasks = (await site.ask("ada", "GET", f"/v1/jobs/{job}/tasks")).json()["items"]
        logs = await site.ask("ada", "GET", f"/v1/jobs/{job}/tasks/2/logs")
    assert (ended["state"], ended["backend"]) == ("failed", "pull")
    assert [(task["state"], task["exit_code"], task["attempt"]) for task in tasks] == [
        *(("succeeded", 0, 1), ("failed", 1, 1), ("succeeded", 0, 1))
    ]
    assert await site.read(f"jobs/{job}/outputs/out/c") == logs.content == b"all\npart c\n"
    assert await site.read(f"jobs/{job}/outputs/out/b") == b"all\npart b\n"


async def test_a_store_that_goes_away_while_results_come_costs_time_and_nothing_else(
    tmp_path: Path, temporal: str, s3: S3
) -> None:
    with run_proxy() as proxy:
        port = proxy.add("s3", int(s3.endpoint.rpartition(":")[2]))
        far = S3(f"127.0.0.1:{port}", s3.access_key, s3.secret_key)
        async with run_pull_site(tmp_path / "far", temporal, far) as site, working(site, tmp_path / "work"):
            proxy.set("s3", Mode.SLOW, delay=0.02)
            job = await site.submit_any(
                script="head -c 21000000 /dev/zero >large; echo done", outputs=[{"path": "large", "to": "output/far"}]
            )
            await poll(site.used, lambda used: used["uploads"]["size"] == 21_000_000, seconds=40)
            proxy.set("s3", Mode.CUT)
            await site.until(job, "finishing")
            proxy.heal()
            ended = await site.until(job)
            used = await site.used()
            read = await site.read("output/far/large")
    assert (ended["state"], ended["attempt"], read == bytes(21_000_000)) == ("succeeded", 1, True)
    assert (used["size"], used["uploads"]["files"]) == (21_000_000 + len("done\n"), 0)
