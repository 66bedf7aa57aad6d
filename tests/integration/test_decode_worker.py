"""decode's worker API: every call, its faults of old, and what a worker that was lost may still do: nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.support.pull_site import PullSite, bearer, run_pull_site
from tests.support.pulling import poll
from tests.support.servers import S3

pytestmark = pytest.mark.asyncio(loop_scope="module")

API = "/decode-worker"
ROOM = {"memory": 4096, "cpu_cores": 4}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory, temporal: str, s3: S3) -> AsyncIterator[PullSite]:
    async with run_pull_site(Path(tmp_path_factory.mktemp("pulled")), temporal, s3) as found:
        yield found


async def _pull(site: PullSite, who: str = "wim", **offer: Any) -> dict[str, Any]:
    answer = await site.ask(who, "GET", f"{API}/jobs", params={**ROOM, **offer})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def _one(site: PullSite, who: str = "wim", **offer: Any) -> tuple[str, dict[str, Any]]:
    found = await poll(lambda: _pull(site, who, **offer), bool)
    ((number, job),) = found.items()
    return number, job


async def _say(site: PullSite, number: str, status: str, who: str = "wim", **more: Any) -> int:
    query = {"status": status, **more}
    return (await site.ask(who, "PUT", f"{API}/jobs/{number}/status", params=query)).status_code


async def _bring(site: PullSite, number: str, name: str, who: str = "wim", **query: Any) -> httpx.Response:
    """Bring a file the way that the API says."""
    query = {"type": "artifact", "base_path": "model", **query}
    told = await site.ask(who, "POST", f"{API}/jobs/{number}/files/url", params=query)
    if told.status_code != 201:
        return told
    ask = told.json()
    files = {"file": (name, b"weights")}
    return await site.client.request(ask["method"], ask["url"], headers=ask["headers"], data=ask["data"], files=files)


async def test_a_job_goes_its_whole_way_and_leaves_its_files_where_they_are_wanted(site: PullSite) -> None:
    await site.keep("data/d1/a.csv", b"1,2")
    job = await site.submit(
        script="cat /files/data/a.csv > /files/model/x.pt",
        image="decode:v1",
        env={"SEED": "7"},
        inputs=[{"source": "data/d1", "path": "data", "folder": True}],
        outputs=[{"path": "model", "to": "artifact/one", "required": False}],
        resources={"memory": 2**30},
    )
    number, told = await _one(site)
    assert told["app"] == {"cmd": ["cat /files/data/a.csv > /files/model/x.pt"], "env": {"SEED": "7"}}
    assert told["handler"]["image_url"] == "decode:v1"
    assert told["handler"]["files_up"] == {"artifact": "model"}
    assert told["hardware"]["memory"] == 1024
    assert isinstance(told["meta"]["job_id"], int)
    (path, file) = next(iter(told["handler"]["files_down"].items()))
    ask = (await site.ask("wim", "GET", f"{API}/files/{file}/url")).json()
    fetched = (await site.client.request(ask["method"], ask["url"], headers=ask["headers"])).content
    straight = (await site.ask("wim", "GET", f"{API}/files/{file}/download")).content
    assert (path, fetched, straight) == ("data/a.csv", b"1,2", b"1,2")
    seen = []
    for status in ("preprocessing", "running", "running", "postprocessing"):
        assert await _say(site, number, status) == 204
        seen.append((await site.ask("wes", "GET", f"{API}/jobs/{number}/status")).json())
    assert seen == ["preprocessing", "running", "running", "postprocessing"]
    assert (await _bring(site, number, "x.pt")).status_code == 201
    assert await _say(site, number, "finished") == 204
    assert (await site.ask("wim", "GET", f"{API}/jobs/{number}/status")).json() == "finished"
    ended = await site.until(job)
    assert (ended["state"], [item["at"] for item in ended["outputs"]]) == ("succeeded", ["artifact/one/model/x.pt"])
    assert await site.read("artifact/one/model/x.pt") == b"weights"
    assert await _say(site, number, "running") == 404  # what has ended changes no more


async def test_a_failing_program_is_an_error_at_once_and_its_files_come_home_all_the_same(site: PullSite) -> None:
    job = await site.submit(outputs=[{"path": "log", "to": "log/two", "required": False}])
    number, _ = await _one(site)
    await _say(site, number, "running")
    assert await _say(site, number, "error") == 204
    assert (await site.job(job))["phase"] == "error"
    assert await _say(site, number, "postprocessing") == 204
    assert (await _bring(site, number, "err.txt", type="log", base_path="log")).status_code == 201
    assert (await site.ask("wim", "GET", f"{API}/jobs/{number}/status")).json() == "error"
    assert await _say(site, number, "error", runtime_details="Logs:\nno such module") == 204
    ended = await site.until(job)
    assert (ended["state"], ended["exit_code"], ended["message"]) == ("failed", 1, "Logs:\nno such module")
    assert await site.read("log/two/log/err.txt") == b"weights"


async def test_a_worker_whose_image_cannot_be_had_loses_the_job_though_it_says_that_it_is_alive(
    site: PullSite,
) -> None:
    """Defect 3: pings of a worker that had died otherwise kept a job for ever. Here the last word is what counts."""
    job = await site.submit()
    number, _ = await _one(site)
    assert await _say(site, number, "preprocessing") == 204
    assert await _say(site, number, "queued") == 204  # it gives it back
    other, told = await _one(site, "wes")
    assert (other != number, await _say(site, number, "preprocessing")) == (True, 404)
    assert told["meta"]["job_id"] == (await site.job(job))["number"]
    await _say(site, other, "finished", "wes")
    assert (await site.until(job))["attempt"] == 2


async def test_what_a_job_wants_of_a_gpu_is_read_by_both_names(site: PullSite) -> None:
    """Defect 4: workers said `gpu_memory`, the API read `gpu_mem`."""
    gpu = {"count": 1, "memory": 8 * 2**30, "model": "a100", "architecture": "ampere"}
    for word in ("gpu_mem", "gpu_memory"):
        large: dict[str, Any] = {word: 8192, "gpu_model": "a100"}
        job = await site.submit(resources={"gpus": gpu})
        assert await _pull(site) == {}
        assert await _pull(site, **large) == {}
        assert await _pull(site, **{**large, word: 4096, "gpu_archi": "ampere"}) == {}
        number, told = await _one(site, **large, gpu_archi="ampere")
        assert told["hardware"]["gpu_mem"] == 8192
        await _say(site, number, "finished")
        await site.until(job)


async def test_a_canceled_job_is_gone_for_its_worker_and_nothing_is_stored_any_more(site: PullSite) -> None:
    """Defect 5: late uploads brought the folders of deleted jobs back."""
    job = await site.submit(outputs=[{"path": "model", "to": "artifact/three", "required": False}])
    number, _ = await _one(site)
    await _say(site, number, "running")
    told = await site.ask(
        "wim", "POST", f"{API}/jobs/{number}/files/url", params={"type": "artifact", "base_path": "model"}
    )
    (await site.ask("ada", "POST", f"/v1/jobs/{job}/cancel")).raise_for_status()
    # What is brought before the cancel has come to it is kept, as it should be.
    assert await poll(lambda: _say(site, number, "running"), lambda status: status == 404) == 404
    late, ask = await _bring(site, number, "x.pt"), told.json()
    again = await site.client.post(ask["url"], headers=ask["headers"], files={"file": ("x.pt", b"late")})
    assert (late.status_code, again.status_code) == (404, 404)
    assert (await site.until(job))["state"] == "canceled"
    assert (await site.ask("ada", "GET", "/v1/files/artifact/three/model/x.pt")).status_code == 404


async def test_a_silent_worker_is_fenced_off_and_another_one_brings_the_only_result(site: PullSite) -> None:
    """Defect 6: a late ping of the first took the job out of the queue again."""
    await _pull(site, "wes", memory=1)  # another one is there
    job = await site.submit(outputs=[{"path": "model", "to": "artifact/four", "required": False}])
    first, _ = await _one(site)
    await _say(site, first, "running")
    await site.until(job, "queued")
    assert await _say(site, first, "running") == 404
    assert (await _bring(site, first, "x.pt")).status_code == 404
    assert await _pull(site) == {}
    second, told = await _one(site, "wes")
    assert int(second) > int(first)
    assert await _say(site, first, "finished") == 404
    assert (await site.ask("wim", "GET", f"{API}/files/{first}/0/url")).status_code == 404
    assert (await _bring(site, second, "x.pt", "wes")).status_code == 201
    assert await _say(site, second, "finished", "wes") == 204
    ended = await site.until(job)
    assert (ended["state"], ended["attempt"]) == ("succeeded", 2)
    assert told["meta"]["job_id"] == ended["number"]


async def test_a_job_whose_results_have_no_room_ends_and_its_worker_is_told_to_stop(site: PullSite) -> None:
    await site.limit("artifact/narrow", 10)
    job = await site.submit(outputs=[{"path": "model", "to": "artifact/narrow", "required": False}])
    number, _ = await _one(site)
    await _say(site, number, "running")
    await _say(site, number, "postprocessing")
    assert (await _bring(site, number, "a.pt")).status_code == 201
    refused = await _bring(site, number, "b.pt")
    assert (refused.status_code, "there is no room" in refused.json()["detail"]) == (404, True)
    assert await _say(site, number, "postprocessing") == 404
    ended = await site.until(job)
    assert (ended["state"], ended["reason"]) == ("failed", "staging")
    assert ended["message"].startswith("quota: outputs/model/b.pt: the folder artifact/narrow/ may come to 10B")
    assert [item["path"] for item in ended["outputs"]] == ["outputs/model/a.pt"]
    assert await site.read("artifact/narrow/model/a.pt") == b"weights"


async def test_ten_sparse_gigabytes_are_refused_before_a_byte_flows(site: PullSite) -> None:
    await site.limit("data/tiny", 100)
    before = await site.used()
    assert await _announce(site, "ada", "/decode/files/data/tiny//upload") == 429
    await site.limit("artifact/tiny", 100)
    job = await site.submit(outputs=[{"path": "model", "to": "artifact/tiny", "required": False}])
    number, _ = await _one(site)
    await _say(site, number, "running")
    assert await _announce(site, "wim", f"{API}/jobs/{number}/files/upload?type=artifact&base_path=model") == 404
    ended = await site.until(job)
    assert (ended["reason"], ended["message"][:6]) == ("staging", "quota:")
    assert await site.used() == before


async def _announce(site: PullSite, who: str, path: str) -> int:
    """Announce a form of ten gigabytes; returns what is answered while none of them has come."""
    url = site.client.base_url
    reader, writer = await asyncio.open_connection(url.host, url.port)
    heads = {
        "Host": f"{url.host}:{url.port}",
        **bearer(who),
        "Content-Type": "multipart/form-data; boundary=x",
        "Content-Length": str(10 * 2**30),
    }
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in heads.items()), "", ""]
    writer.write("\r\n".join(lines).encode())
    async with asyncio.timeout(10):
        status = int((await reader.readline()).split()[1])
    writer.close()
    return status


async def test_the_first_word_of_a_failure_is_not_the_last(site: PullSite) -> None:
    """The original says `error` with an empty text, brings what there is, and says `error` with the log."""
    job = await site.submit(outputs=[{"path": "model", "to": "artifact/six", "required": False}])
    number, _ = await _one(site)
    await _say(site, number, "running", runtime_details="half way")
    assert (await site.job(job))["tail"] == "half way"
    assert await _say(site, number, "error", runtime_details="") == 204
    assert (await _bring(site, number, "x.pt")).status_code == 201
    assert await _say(site, number, "error", runtime_details="Logs:\nboom") == 204
    ended = await site.until(job)
    assert (ended["state"], ended["message"], len(ended["outputs"])) == ("failed", "Logs:\nboom", 1)


async def test_the_queue_is_right_about_what_the_user_sees_whenever_either_is_asked(site: PullSite) -> None:
    """Defect 8: a ping changed the queue and then failed to tell the users' side."""
    job = await site.submit()
    number, _ = await _one(site)
    for status, native in (("preprocessing", "starting"), ("running", "running"), ("postprocessing", "finishing")):
        assert await _say(site, number, status) == 204
        seen = await site.job(job)
        assert (seen["state"], seen["phase"]) == (native, status)
        assert (await site.ask("wes", "GET", f"{API}/jobs/{number}/status")).json() == status
    await _say(site, number, "finished")
    await site.until(job)


async def test_what_is_another_workers_or_out_of_bounds_is_not_there(
    site: PullSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site.pull, "lease", 60.0)  # nothing of this renews it
    job = await site.submit(inputs=[], outputs=[{"path": "model", "to": "artifact/five", "required": False}])
    number, _ = await _one(site)
    answers = {
        "another's word": await _say(site, number, "finished", "wes"),
        "unknown number": await _say(site, "999999999", "running"),
        "bad word": await _say(site, number, "sleeping"),
        "another's upload": (await _bring(site, number, "x", "wes")).status_code,
        "unknown upload": (await _bring(site, "999999999", "x")).status_code,
        "a way out": (await _bring(site, number, "x", base_path="../../data")).status_code,
        "a name that leads out": (await _bring(site, number, "../x")).status_code,
        "bad kind": (await _bring(site, number, "x", type="secret")).status_code,
        "no such input": (await site.ask("wim", "GET", f"{API}/files/{number}/7/url")).status_code,
        "a path": (await site.ask("wim", "GET", f"{API}/files/%2e%2e/%2e%2e/etc/passwd/download")).status_code,
        "unknown status": (await site.ask("wim", "GET", f"{API}/jobs/999999999/status")).status_code,
        "no memory": (await site.ask("wim", "GET", f"{API}/jobs")).status_code,
    }
    assert answers == {
        "another's word": 404,
        "unknown number": 404,
        "bad word": 422,
        "another's upload": 404,
        "unknown upload": 404,
        "a way out": 403,
        "a name that leads out": 403,
        "bad kind": 422,
        "no such input": 404,
        "a path": 404,
        "unknown status": 404,
        "no memory": 422,
    }
    await _say(site, number, "finished")
    await site.until(job)


async def test_who_is_no_worker_gets_nothing(site: PullSite) -> None:
    answers = [await site.ask(who, "GET", f"{API}/jobs", params=ROOM) for who in ("ada", "eve", "nil")]
    assert [(answer.status_code, answer.json()["detail"]) for answer in answers] == [
        (403, "Not a member of the 'workers' group"),
        (403, "Not a member of the 'workers' group"),
        (401, "Validation Error for Claims"),
    ]
    for headers in ({}, {"Authorization": "Basic x"}, {"Authorization": "Bearer x"}):
        refused = await site.client.get(f"{API}/jobs", params=ROOM, headers=headers)
        assert (refused.status_code, refused.json()) == (401, {"detail": "Not authenticated"})
    assert (await site.client.get(f"{API}/access_info")).json()["cognito"]["region"]
    assert (await site.client.get(f"{API}/")).status_code == 200


async def test_work_goes_to_machines_of_its_sort(site: PullSite) -> None:
    cloud = await site.submit(placement={"backend": "pull", "environment": "cloud"})
    anywhere = await site.submit()
    assert await _pull(site, older_than=60) == {}
    ours, _ = await _one(site)
    far, _ = await _one(site, "zoe")
    assert await _pull(site) == {}
    await asyncio.gather(_say(site, ours, "finished"), _say(site, far, "finished", "zoe"))
    ends = [(await site.until(job))["state"] for job in (cloud, anywhere)]
    assert ends == ["succeeded", "succeeded"]
