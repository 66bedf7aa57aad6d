"""The document's story: a scientist without a terminal, from the first visit to the last clean-up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise

import httpx
import pytest

from tests.support.decode import PASSWORD, DecodeUser, perform, sign_up
from tests.support.stack import Stack

ORDER = ["queued", "pulled", "preprocessing", "running", "postprocessing", "finished"]
AREAS = ["artifact/", "config/", "data/", "log/", "output/"]


@pytest.fixture(scope="module")
def ada(stack: Stack) -> Iterator[DecodeUser]:
    with sign_up(stack) as user:
        yield user


def test_one_becomes_a_user_and_logs_in(stack: Stack) -> None:
    with httpx.Client(base_url=f"{stack.url}/decode", trust_env=False) as client:
        assert client.get("/").json() == "Welcome to the DECODE OpenCloud User-facing API"
        assert set(client.get("/access_info").json()["cognito"]) == {"user_pool_id", "client_id", "region"}
        form = {"username": "grace@lab.example", "password": PASSWORD}
        made = client.post("/user", data={**form, "groups": ["users", "workers"]})
        assert (made.status_code, made.json()) == (201, {"email": form["username"], "groups": ["users", "workers"]})
        assert client.post("/user", data=form).status_code == 409
        assert client.post("/user", data={**form, "username": "x@y.z", "password": "short"}).status_code == 400
        assert client.post("/user", json=form).status_code == 422
        assert client.post("/user", data={**form, "groups": "admins"}).status_code == 422
        assert client.post("/token", data={**form, "password": "wrong"}).status_code == 400
        assert client.post("/token", data={**form, "username": "nobody@lab.example"}).status_code == 404
        given = client.post("/token", data=form)
        assert given.status_code == 201
        assert given.json()["expires_in"] == 3600
        entered = client.post("/login", data=form)
        assert entered.status_code == 200
        cookie = entered.headers["set-cookie"]
        assert all(word in cookie for word in ("HttpOnly", "Secure", "SameSite=none", "Max-Age=1800"))
        assert client.get("/user", headers={"Cookie": cookie.partition(";")[0]}).status_code == 401
        me = client.get("/user", headers={"Authorization": f"Bearer {given.json()['id_token']}"})
        assert me.json() == {"email": form["username"], "groups": ["users", "workers"]}


def test_nobody_calls_themselves_somebody_else(stack: Stack) -> None:
    with httpx.Client(base_url=f"{stack.url}/decode", trust_env=False) as client:
        for name, status in (("owner", 409), ("admin", 409), ("issuer:somebody", 400), ("a b", 400), ("", 400)):
            answer = client.post("/user", data={"username": name, "password": PASSWORD})
            assert answer.status_code in {status, 422}, (name, answer.text)


def test_who_is_in_no_group_or_in_another_stays_outside(stack: Stack) -> None:
    for headers in ({}, {"Authorization": "Basic eDp5"}, {"Authorization": "Bearer garbage"}):
        refused = httpx.get(f"{stack.url}/decode/jobs", headers=headers, trust_env=False)
        assert (refused.status_code, refused.json()) == (401, {"detail": "Not authenticated"})
    nobody = {"Authorization": f"Bearer {stack.tokens['none']}"}
    refused = httpx.get(f"{stack.url}/decode/jobs", headers=nobody, trust_env=False)
    assert (refused.status_code, refused.json()) == (401, {"detail": "Validation Error for Claims"})
    with sign_up(stack, "machine", ["workers"]) as worker:
        said = worker.ask("GET", "/jobs", 403)
    assert said == {"detail": "Not a member of the 'users' group"}


def test_files_are_brought_listed_fetched_and_renamed(ada: DecodeUser) -> None:
    assert ada.listing("") == ada.listing("/") == AREAS
    stored = ada.upload("data/d1", "beads.mat", b"bytes to be learnt" * 20)
    assert stored == {"path": "data/d1/beads.mat", "type": "file", "size": "360 Bytes"}
    ada.upload_as_told("data/d1", "more.txt", b"by a form")
    ada.upload_as_told("config/c1", "param.yaml", b"epochs: 30\n")
    assert ada.listing("data/d1", recursive=True) == ["data/d1/beads.mat", "data/d1/more.txt"]
    assert ada.listing("", recursive=True, show_dirs=False) == [
        *("config/c1/param.yaml", "data/d1/beads.mat", "data/d1/more.txt")
    ]
    told = ada.ask("GET", "/files/data/d1/more.txt/url", 200)
    assert told["method"] == "get"
    assert perform(told).content == b"by a form"
    assert ada.ask("GET", "/files/data/d1/more.txt/download", 200) == b"by a form"
    assert ada.zipped("data/d1") == {"beads.mat": b"bytes to be learnt" * 20, "more.txt": b"by a form"}
    moved = ada.ask("PUT", "/files/data/d1/more.txt", 200, json={"path": "data/d2/sub/notes.txt"})
    assert moved["path"] == "data/d2/sub/notes.txt"
    assert ada.listing("data/d2", recursive=True) == ["data/d2/sub/", "data/d2/sub/notes.txt"]
    assert ada.ask("PUT", "/files/data", 405, json={"path": "data/x/"})["detail"].endswith("predefined directory")
    assert ada.ask("PUT", "/files/data/d2/", 405, json={"path": "data/x/"})["detail"].endswith("non-empty directory")
    assert ada.ask("POST", "/files/data/empty/", 201) is None
    assert ada.ask("POST", "/files/data/empty/", 201) is None
    assert ada.ask("PUT", "/files/data/empty/", 200, json={"path": "data/still-empty/"})["type"] == "directory"
    assert ada.zipped("data/still-empty") == {}
    assert ada.zipped("log") == {}
    ada.ask("DELETE", "/files/data/still-empty/", 204)
    ada.ask("DELETE", "/files/data/still-empty/", 204)
    ada.ask("POST", "/files/output/d1/url", 422)
    ada.ask("POST", "/files/data/upload", 405)
    ada.ask("POST", "/files/data/d1//upload", 422)
    ada.ask("GET", "/files/nowhere", 404)
    ada.ask("GET", "/files/data/d1/beads.mat", 404)


def test_jobs_run_to_their_end_and_their_results_are_used_again(ada: DecodeUser) -> None:
    offered = ada.ask("GET", "/jobs/applications", 200)
    assert next(iter(offered)) == "decode"
    train = offered["decode"]["v0_10_1"]["train"]
    assert train["handler"]["files_down"] == {"config_id": "config", "data_ids": "data", "artifact_ids": "artifact"}
    first = ada.start("first")
    assert first["paths_out"] == {"output": "output/first", "log": "log/first", "artifact": "artifact/first"}
    assert (first["status"], first["date_started"], first["user_email"]) == ("queued", None, ada.email)
    assert ada.start("first", status=409) == {"detail": "Job name must be unique"}
    ended, seen = ada.until_ended(first["id"])
    assert (ended["status"], ended["runtime_details"]) == ("finished", None)
    assert all(ORDER.index(one) < ORDER.index(other) for one, other in pairwise(seen))
    assert ended["date_created"] <= ended["date_started"] <= ended["date_finished"]
    files = ada.zipped("artifact/first")
    assert json.loads(files["model/model.json"])["loss"] < 1
    assert ada.zipped("log/first")["log/losses.csv"].count(b"\n") == 30

    second = ada.start("second", "curve/v1/predict", data=(), artifacts=["first"], env={"GREETING": "hello"})
    assert ada.until_ended(second["id"])[0]["status"] == "finished"
    assert ada.zipped("output/second")["output/curve.csv"].count(b"\n") == 32

    third = ada.start("third", "curve/v1/fail")
    failed, _ = ada.until_ended(third["id"])
    assert failed["status"] == "error"
    assert "3" in failed["runtime_details"]

    numbers = [job["id"] for job in ada.ask("GET", "/jobs", 200)]
    assert numbers == sorted(numbers, reverse=True)
    assert [job["id"] for job in ada.ask("GET", "/jobs?offset=1&limit=1", 200)] == [second["id"]]
    assert len(ada.ask("GET", "/jobs?limit=-1", 200)) == len(numbers)

    ada.ask("DELETE", f"/jobs/{first['id']}", 204)
    ada.ask("DELETE", f"/jobs/{first['id']}", 404)
    assert ada.ask("GET", f"/jobs/{first['id']}", 404) == {"detail": "Job not found"}
    assert ada.listing("artifact", recursive=True) == []
    again = ada.start("first")
    assert again["id"] > third["id"]
    ada.until_ended(again["id"])


def test_what_is_of_one_user_is_nobody_elses(ada: DecodeUser, stack: Stack) -> None:
    number = ada.ask("GET", "/jobs", 200)[0]["id"]
    with sign_up(stack, "eve") as eve:
        assert eve.ask("GET", "/jobs", 200) == []
        for method in ("GET", "DELETE"):
            assert eve.ask(method, f"/jobs/{number}", 404) == {"detail": "Job not found"}
        eve.ask("GET", "/files/data/d1/beads.mat/download", 404)
        eve.start("theirs", status=400)
    # Nor may an admin of the site meddle by this door.
    admin = {"Authorization": f"Bearer {stack.tokens['admin']}"}
    assert httpx.get(f"{stack.url}/decode/jobs/{number}", headers=admin, trust_env=False).status_code == 404


def test_everything_can_be_cleared_away(ada: DecodeUser) -> None:
    for job in ada.ask("GET", "/jobs?limit=-1", 200):
        ada.ask("DELETE", f"/jobs/{job['id']}", 204)
    assert ada.ask("GET", "/jobs", 200) == []
    ada.ask("DELETE", "/files//", 204)
    assert ada.listing("", recursive=True) == AREAS
