"""What the original gets wrong, and ours must not. Its other defects are its workers': tests of pulls have them.

2, 3, 6 and 8 (the sweep, the zombie, the late ping, the dual write), 4 (`gpu_memory`) and 5 as its worker meets it are
in `tests/integration/test_decode_worker.py` and `test_pull_leases.py`; 9 is `test_decode_many.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.support.decode import DecodeUser, job, sign_up
from tests.support.stack import Stack

_SLOW = b"epochs: 1000\npause: 0.2\n"

LEADS_OUT = [
    *("../x", "..", "a/../../x", "../../../../sql_app.db", "data/../../x", "./../x", "%2e%2e/x", "..%2fx"),
    *("..\\x", "a\\..\\..\\x", "/../x", "//../x", "a/./../../x", "....//....//x/..", "a\x00b", "\u2025/../x"),
]
"""Paths that would lead out of where they begin, in the ways in which people have written them."""


@pytest.fixture(scope="module")
def ada(stack: Stack) -> Iterator[DecodeUser]:
    with sign_up(stack) as user:
        user.upload("config/c1", "param.yaml", b"epochs: 1\n")
        user.upload("config/slow", "param.yaml", _SLOW)
        user.upload("data/d1", "points.txt", b"points")
        yield user


def _until(user: DecodeUser, number: int, *wanted: str) -> None:
    for _ in range(2000):
        if user.ask("GET", f"/jobs/{number}", 200)["status"] in wanted:
            return
    raise AssertionError(f"job {number} is not {wanted}")


def test_1_a_deleted_jobs_number_is_nobodys_and_its_run_reports_on_nothing(ada: DecodeUser) -> None:
    first = ada.start("a", config="slow")["id"]
    _until(ada, first, "running")
    ada.ask("DELETE", f"/jobs/{first}", 204)
    second = ada.start("a")["id"]
    assert second > first
    ended, seen = ada.until_ended(second)
    assert ended["status"] == "finished"
    assert seen == sorted(seen, key=["queued", "preprocessing", "running", "postprocessing", "finished"].index)
    assert ada.ask("GET", f"/jobs/{first}", 404) == {"detail": "Job not found"}


def test_5_nothing_of_a_deleted_job_comes_back(ada: DecodeUser, stack: Stack) -> None:
    number = ada.start("gone", config="slow")["id"]
    _until(ada, number, "running")
    native = _native(ada, stack, number)
    ada.ask("DELETE", f"/jobs/{number}", 204)
    # The program is being ended, and its runner may still bring what it has: the log tells when that is over.
    for _ in range(2000):
        if _has_ended(ada, stack, native):
            break
    assert not [path for path in ada.listing("artifact", recursive=True) if "gone" in path]
    left = ada.client.get(f"{stack.url}/v1/files", params={"prefix": f"jobs/{native}/"}).json()
    assert left["items"] == []
    ada.until_ended(ada.start("gone")["id"])


def _native(user: DecodeUser, stack: Stack, number: int) -> str:
    found = user.client.get(f"{stack.url}/v1/jobs", params={"number": number}).raise_for_status().json()
    return str(found["items"][0]["id"])


def _has_ended(user: DecodeUser, stack: Stack, native: str) -> bool:
    found = user.client.get(f"{stack.url}/v1/events", params={"job": native, "limit": 500}).raise_for_status()
    return any("'new': 'canceled'" in str(item) for item in found.json()["items"])


@pytest.mark.parametrize("path", LEADS_OUT)
def test_7_no_path_leads_out(ada: DecodeUser, path: str) -> None:
    # Clients tidy paths up before they send them: dots are written so that they arrive.
    written = path if "%" in path else quote(path, safe="/").replace(".", "%2e")
    for address in (f"/files/data/{written}/download", f"/files/{written}/url", f"/files/data/{written}"):
        answer = ada.client.get(address)
        assert answer.status_code in {400, 404}, f"{address}: {answer.status_code} {answer.text[:200]}"
    for method, address in (("POST", f"/files/data/{written}/upload"), ("POST", f"/files/data/{written}/url")):
        answer = ada.client.request(method, address, files={"file": ("x", b"x")})
        assert answer.status_code in {400, 404, 405}, f"{method} {address}: {answer.status_code} {answer.text[:200]}"
    before = ada.listing("", recursive=True)
    if "%" not in path:
        for answer in (
            ada.client.put("/files/data/d1/points.txt", json={"path": path}),
            ada.client.post("/files/data/d1//upload", files={"file": (path.replace("\x00", "/../"), b"x")}),
            ada.client.post("/jobs", json=job("out", data=[path])),
            ada.client.post("/jobs", json=job("out", config=path)),
            ada.client.post("/jobs", json=job("out", artifacts=[path])),
        ):
            assert answer.status_code in {400, 404, 422}, f"{path!r}: {answer.status_code} {answer.text[:200]}"
    assert ada.client.delete(f"/files/{written}").status_code in {204, 404}
    assert ada.listing("", recursive=True) == before


def test_10_a_path_is_no_prefix(ada: DecodeUser) -> None:
    ada.upload("data/d12", "points.txt", b"points")
    for path in ("data/d", "data/d1/point", "data/d1/points.txt/x"):
        for verb in ("url", "download"):
            ada.ask("GET", f"/files/{path}/{verb}", 404)
    ada.ask("GET", "/files/data/d/", 404)
    ada.ask("GET", "/files/data/d//download", 404)
    ada.start("prefix", data=["d"], status=400)
    ada.start("prefix", config="c", status=400)
    ada.ask("GET", "/files/data/d12/download", 404)
    assert ada.ask("PUT", "/files/data/d12", 405, json={"path": "data/d13"})["detail"].endswith("non-empty directory")
    ada.ask("DELETE", "/files/data/d", 204)
    ada.ask("DELETE", "/files/data/d1", 204)
    assert ada.listing("data", recursive=True, show_dirs=False) == ["data/d12/points.txt"]
