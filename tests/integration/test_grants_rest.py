"""Sharing over REST, on the real services: lists, logs, files, events and streams agree on who sees what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio

from contracts.model import now
from tests.support.servers import S3
from tests.support.shared_site import SharedSite, run_shared_site
from tests.support.ticks import ticking

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory, temporal: str, s3: S3) -> AsyncIterator[SharedSite]:
    """One site for all tests of the module; each has jobs and folders of its own."""
    async with run_shared_site(tmp_path_factory.mktemp("site"), temporal, s3) as found:
        yield found


async def _listed(site: SharedSite, who: str, query: str = "") -> set[str]:
    return {item["id"] for item in (await site.get(who, f"/v1/jobs?limit=1000{query}"))["items"]}


async def _events(site: SharedSite, who: str, query: str = "") -> list[tuple[str, str]]:
    page = await site.get(who, f"/v1/events?limit=1000{query}")
    return [(item["event"]["type"].removeprefix("org.shunter."), item["event"]["subject"]) for item in page["items"]]


async def test_a_grant_is_put_shown_listed_and_deleted(site: SharedSite) -> None:
    job = await site.submit("ada")
    path = f"/v1/jobs/{job}/grants/user:eve"
    made = await site.ask("ada", "PUT", path, json={"right": "control"})
    assert (made.status_code, made.json()["right"], made.json()["resource"]) == (201, "control", f"job:{job}")
    until = (now() + timedelta(hours=1)).isoformat()
    again = await site.ask("ada", "PUT", path, json={"right": "read", "expires_at": until})
    assert (again.status_code, again.json()["right"]) == (200, "read")
    assert await site.get("ada", path) == await site.get("eve", path) == again.json()
    await site.share("ada", job, "project:vision")
    page = await site.get("ada", f"/v1/jobs/{job}/grants?limit=1")
    assert [item["grantee"] for item in page["items"]] == ["project:vision"]
    rest = await site.get("ada", f"/v1/jobs/{job}/grants?limit=1&cursor={page['next_cursor']}")
    assert [item["grantee"] for item in rest["items"]] == ["user:eve"]
    assert (await site.ask("ada", "DELETE", path)).status_code == 204
    assert (await site.ask("ada", "DELETE", path)).status_code == 404
    await site.get("ada", path, 404)


@pytest.mark.parametrize("body", [{"right": "own"}, {"rights": "read"}, {"expires_at": "2001-01-01T00:00:00Z"}, {}])
async def test_a_wish_that_makes_no_sense_is_refused(site: SharedSite, body: dict[str, str]) -> None:
    job = await site.submit("ada")
    answer = await site.ask("ada", "PUT", f"/v1/jobs/{job}/grants/user:eve", json=body)
    assert answer.status_code == (422 if body else 201), answer.text
    for grantee in ("eve", "group:x", "user:a%20b", "user:ada"):
        answer = await site.ask("ada", "PUT", f"/v1/jobs/{job}/grants/{grantee}", json={})
        assert answer.status_code == 422, answer.text


async def test_what_is_shared_with_me_is_one_list_of_jobs_and_folders(site: SharedSite) -> None:
    jobs = [await site.submit("bob") for _ in range(3)]
    for job in jobs:
        await site.share("bob", job, "user:aud")
    for folder in ("one", "two"):
        answer = await site.ask("bob", "PUT", f"/v1/folder-grants/user:aud?folder={folder}", json={})
        assert answer.status_code == 201
    wanted = [*(f"job:{job}" for job in reversed(jobs)), "folder:two", "folder:one"]
    for limit in (1, 2, 3, 4, 100):
        found, place = [], ""
        while True:
            page = await site.get("aud", f"/v1/shared?limit={limit}{place}")
            found += [item["resource"] for item in page["items"]]
            if page["next_cursor"] is None:
                break
            place = f"&cursor={page['next_cursor']}"
        assert found == wanted, limit
    assert len((await site.get("aud", "/v1/shared?kind=folder"))["items"]) == 2
    assert len((await site.get("aud", "/v1/shared?kind=job"))["items"]) == 3
    await site.get("aud", "/v1/shared?cursor=x", 400)


async def test_a_stranger_sees_nothing_of_what_others_share(site: SharedSite) -> None:
    job = await site.running("ada")
    await site.print(job, b"hello")
    await site.keep("ada", "strange/a", b"a")
    async with site.listening("eve", "/v1/events?since_sequence=1") as hers:
        await site.share("ada", job, "user:zoe", "control")
        await site.ask("ada", "PUT", "/v1/folder-grants/user:zoe?folder=strange", json={})
        await site.keep("ada", "strange/b", b"b")
        await site.end("ada", job, result=b"42")
        for path in ("", "/history", "/explain", "/logs", "/logs?follow=true", "/files", "/files/outputs/result"):
            await site.get("eve", f"/v1/jobs/{job}{path}", 404)
        for path in ("/grants", "/grants/user:zoe", "/tasks", "/tasks/0", "/tasks/0/logs", "/task-logs"):
            await site.get("eve", f"/v1/jobs/{job}{path}", 404)
        for verb in ("hold", "release", "start", "cancel", "retry"):
            assert (await site.ask("eve", "POST", f"/v1/jobs/{job}/{verb}")).status_code == 404
        for path in ("strange/a", f"jobs/{job}/outputs/result"):
            await site.get("eve", f"/v1/files/{path}?owner=ada", 404)
            assert (await site.ask("eve", "HEAD", f"/v1/files/{path}?owner=ada")).status_code == 404
            wish = {"path": path, "owner": "ada"}
            assert (await site.ask("eve", "POST", "/v1/downloads", json=wish)).status_code == 404
        for prefix in ("", "strange/", f"jobs/{job}/"):
            await site.get("eve", f"/v1/files?owner=ada&prefix={prefix}", 404)
        assert (await site.ask("eve", "PUT", "/v1/files/strange/x?owner=ada", content=b"x")).status_code == 404
        wish_to_wait = {"argv": ["true"], "after": [{"job": job}]}
        assert (await site.ask("eve", "POST", "/v1/jobs", json=wish_to_wait)).status_code == 422
        await site.get("eve", "/v1/folder-grants?owner=ada", 404)
        assert job not in await _listed(site, "eve")
        assert job not in str(await site.get("eve", "/v1/shared"))
        assert not [event for event in await _events(site, "eve") if job in event or "ada" in event]
        own = await site.submit("eve")
        async with asyncio.timeout(10):
            while own not in str(hers.events):  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0.02)
    # What she was refused is hers to hear of, and says no more than what she asked for.
    told = [event.json() for event in hers.events if "command.refused" not in event.event]
    assert job not in str(told)
    assert "strange" not in str(told)


async def test_a_reader_sees_all_of_a_job_and_its_files(site: SharedSite) -> None:
    job = await site.running("ada")
    await site.print(job, b"hello")
    await site.share("ada", job, "user:eve")
    assert await site.get("eve", f"/v1/jobs/{job}/logs") == b"hello"
    await site.end("ada", job, result=b"42")
    for path in ("", "/history", "/explain"):
        await site.get("eve", f"/v1/jobs/{job}{path}")
    files = (await site.get("eve", f"/v1/jobs/{job}/files"))["items"]
    assert [item["path"] for item in files] == ["outputs/result"]
    assert await site.get("eve", f"/v1/jobs/{job}/files/outputs/result") == b"42"
    assert await site.get("eve", f"/v1/files/jobs/{job}/outputs/result?owner=ada") == b"42"
    listed = await site.get("eve", f"/v1/files?owner=ada&prefix=jobs/{job}/")
    assert [item["path"] for item in listed["items"]] == [f"jobs/{job}/outputs/result"]
    url = await site.get("eve", f"/v1/jobs/{job}/files/outputs/result?presign=true")
    assert url["expires_at"] < (now() + timedelta(minutes=16)).isoformat()
    for other in (f"/v1/files/jobs/{job}/outputs/result", "/v1/files?owner=ada&prefix=jobs/"):
        await site.get("eve", other, 404)
    assert job in await _listed(site, "eve") & await _listed(site, "eve", "&shared=true")
    assert job not in await _listed(site, "eve", "&shared=false")
    assert job in await _listed(site, "eve", "&owner=ada&state=succeeded")
    assert (await site.ask("eve", "POST", f"/v1/jobs/{job}/retry")).status_code == 403
    await site.share("ada", job, "user:eve", "control")
    again = await site.ask("eve", "POST", f"/v1/jobs/{job}/retry")
    assert (again.status_code, again.json()["owner"]) == (201, "ada")
    await site.get("eve", f"/v1/jobs/{again.json()['id']}")
    await site.ask("eve", "POST", f"/v1/jobs/{again.json()['id']}/cancel")
    await site.unshare("ada", job, "user:eve")
    await site.get("eve", f"/v1/jobs/{job}/files/outputs/result", 404)
    await site.get("eve", f"/v1/files/jobs/{job}/outputs/result?owner=ada", 404)


async def test_a_member_of_a_project_sees_what_is_shared_with_it(site: SharedSite) -> None:
    job = await site.submit("eve")
    await site.get("ada", f"/v1/jobs/{job}", 404)
    await site.get("bob", f"/v1/jobs/{job}", 404)
    await site.share("eve", job, "project:vision")
    for who in ("ada", "bob"):
        await site.get(who, f"/v1/jobs/{job}")
        assert job in await _listed(site, who, "&shared=true")


async def test_files_of_a_shared_folder_come_and_go_through_the_gateway(site: SharedSite) -> None:
    await site.keep("ada", "lab/a", b"a")
    grant = "/v1/folder-grants/user:eve?folder=lab"
    assert (await site.ask("ada", "PUT", grant, json={"right": "read"})).status_code == 201
    assert await site.get("eve", "/v1/files/lab/a?owner=ada") == b"a"
    assert [item["path"] for item in (await site.get("eve", "/v1/files?owner=ada"))["items"]] == ["lab/a"]
    wish = {"path": "lab/a", "owner": "ada"}
    assert (await site.ask("eve", "POST", "/v1/downloads", json=wish)).status_code == 200
    assert (await site.ask("eve", "PUT", "/v1/files/lab/b?owner=ada", content=b"b")).status_code == 403
    assert (await site.ask("ada", "PUT", grant, json={"right": "control"})).status_code == 200
    put = await site.ask("eve", "PUT", "/v1/files/lab/b?owner=ada", content=b"b")
    assert (put.status_code, put.json()["owner"]) == (201, "ada")
    again = {"If-None-Match": "*"}
    put = await site.ask("eve", "PUT", "/v1/files/lab/b?owner=ada", content=b"c", headers=again)
    assert put.status_code == 412
    assert await site.get("ada", "/v1/files/lab/b") == b"b"
    opened = await site.ask("eve", "POST", "/v1/uploads", json={"path": "lab/c", "size": 1, "owner": "ada"})
    assert opened.status_code == 200
    assert await site.get("eve", f"{grant}&owner=ada") == await site.get("ada", grant)
    assert (await site.ask("eve", "DELETE", grant)).status_code == 404
    assert (await site.ask("eve", "DELETE", f"{grant}&owner=ada")).status_code == 404
    assert (await site.ask("ada", "DELETE", grant)).status_code == 204
    await site.get("eve", "/v1/files/lab/a?owner=ada", 404)


async def test_events_of_what_is_shared_are_seen_from_then_on(site: SharedSite) -> None:
    job = await site.submit("ada")
    await site.share("ada", job, "user:eve")
    await site.share("ada", job, "user:zoe")
    await site.ask("ada", "POST", f"/v1/jobs/{job}/release")
    await site.client.get(f"/v1/jobs/{job}?wait=20", headers={"Authorization": "Bearer token-of-ada"})
    seen = [kind for kind, about in await _events(site, "eve") if about == job]
    assert seen[0] == "workload.shared.v1"
    assert seen.count("workload.shared.v1") == 1
    assert seen.count("workload.moved.v1") > 2
    assert "workload.accepted.v1" not in seen
    await site.unshare("ada", job, "user:eve")
    assert not [kind for kind, about in await _events(site, "eve") if about == job]
    assert len(await _events(site, "ada", f"&job={job}")) > 6


async def test_a_listener_hears_of_what_is_shared_and_no_more_once_it_is_not(site: SharedSite) -> None:
    job = await site.submit("ada")
    async with site.listening("eve", "/v1/events") as hers, site.listening("eve", "/v1/events?type=file") as files:
        await site.ask("ada", "POST", f"/v1/jobs/{job}/release")
        await site.share("ada", job, "user:eve")
        await site.ask("ada", "PUT", "/v1/folder-grants/user:eve?folder=heard", json={})
        await site.ask("ada", "PUT", "/v1/folder-grants/user:zoe?folder=heard", json={})
        await site.keep("ada", "heard/a", b"a")
        await site.keep("ada", "heard/c", b"c")
        await site.keep("ada", "unheard/a", b"a")
        # The other name is the owner's affair.
        await site.ask("ada", "POST", "/v1/moves", json={"path": "heard/a", "to": "unheard/b"})
        await site.ask("ada", "POST", "/v1/moves", json={"path": "heard", "to": "unheard/c", "folder": True})
        running = await site.running("ada")
        await site.share("ada", running, "project:vision")
        await site.share("ada", running, "user:eve")
        await site.end("ada", running, result=b"1")
        await site.ask("ada", "DELETE", "/v1/folder-grants/user:eve?folder=heard")
        await site.keep("ada", "heard/b", b"b")
        await site.unshare("ada", running, "user:eve")
        await site.unshare("ada", job, "user:eve")
        last = await site.submit("eve")
        async with asyncio.timeout(10):
            while last not in str(hers.events) or len(files.said()) < 3:  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0.02)
    said = [fact for fact in hers.said() if fact[1] != last]
    assert said[0][0] == "workload.shared"
    assert [fact for fact in said if fact[0].startswith("folder")] == [
        ("folder.shared", "heard"),
        ("folder.unshared", "heard"),
    ]
    result = f"jobs/{running}/outputs/result"
    assert {path for kind, path in said if kind == "file.stored"} == {"heard/a", "heard/c", result}
    assert [path for _, path in files.said()] == ["heard/a", "heard/c", result]
    assert [kind for kind, about in said if about == running][-1] == "workload.unshared"
    assert [kind for kind, about in said if about == running].count("workload.shared") == 1


async def test_a_followed_log_ends_when_it_is_shared_no_more(site: SharedSite) -> None:
    job = await site.running("ada")
    await site.share("ada", job, "user:eve")
    path = f"/v1/jobs/{job}/logs?follow=true"
    async with site.listening("eve", path) as hers, site.listening("ada", path) as own:
        printing, offset = True, 0

        async def chatter() -> None:
            nonlocal offset
            while printing:
                await site.print(job, b"tick\n", offset)
                offset += 5
                await asyncio.sleep(0)

        task = asyncio.create_task(chatter())
        async with asyncio.timeout(10):
            while not hers.events:  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0.02)
        await site.unshare("ada", job, "user:eve")
        async with ticking() as passed, asyncio.timeout(10):
            await hers.ended.wait()
            assert passed() < 2
        printing = False
        await task
        assert not own.ended.is_set()
        assert {event.event for event in hers.events} == {"log"}
        await site.end("ada", job)
        async with asyncio.timeout(10):
            await own.ended.wait()
        assert own.events[-1].event == "end"
    await site.get("eve", path, 404)
