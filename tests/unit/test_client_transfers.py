"""Files go up and down whole, whatever breaks on the way."""

from __future__ import annotations

import threading
from collections import deque
from pathlib import Path

import httpx
import pytest

from contracts.errors import ConflictError, InternalError, NotFoundError, RefusedError, UnavailableError
from shunter.transfers.metering import StoppedError
from shunter.transfers.tickets import TicketCache
from tests.support.rest import URL, FakeServer, Stream, problem

DATA = b"0123456789"
BROKEN = httpx.WriteError("broken pipe")


@pytest.fixture
def local(tmp_path: Path) -> Path:
    file = tmp_path / "x.bin"
    file.write_bytes(DATA)
    return file


def test_a_file_goes_up_in_parts_and_progress_is_told(tmp_path: Path, local: Path) -> None:
    server, told = FakeServer(), list[tuple[int, int]]()
    with server.client(tmp_path) as client:
        record = client.upload(local, "data/x.bin", progress=lambda *seen: told.append(seen))
    assert server.store.content == DATA
    assert record.size == 10
    assert sorted(server.store.puts) == [1, 2, 3]
    assert told[-1] == (10, 10)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_an_empty_file_goes_up(tmp_path: Path) -> None:
    server = FakeServer()
    (tmp_path / "empty").touch()
    with server.client(tmp_path) as client:
        assert client.upload(tmp_path / "empty").size == 0


def test_a_part_that_breaks_off_is_sent_again_and_counted_once(tmp_path: Path, local: Path) -> None:
    server, told = FakeServer(), list[int]()
    server.store.failures = {2: deque([BROKEN, httpx.Response(500), httpx.Response(503)])}
    with server.client(tmp_path) as client:
        client.upload(local, progress=lambda done, _total: told.append(done))
    assert server.store.content == DATA
    assert server.store.puts.count(2) == 4
    assert server.store.puts.count(1) == 1
    assert told[-1] == 10


def test_urls_that_are_too_old_are_renewed(tmp_path: Path, local: Path) -> None:
    server = FakeServer()
    server.store.failures = {3: deque([httpx.Response(403)])}
    with server.client(tmp_path) as client:
        client.upload(local)
    assert server.store.content == DATA
    assert server.paths() == ["POST /v1/uploads", "POST /v1/uploads/resume", "POST /v1/uploads/complete"]


def test_a_store_that_refuses_for_ever_is_given_up(tmp_path: Path, local: Path) -> None:
    server = FakeServer()
    server.store.failures = {1: deque([httpx.Response(403)] * 100)}
    with server.client(tmp_path) as client, pytest.raises(UnavailableError, match="clock"):
        client.upload(local)


def test_a_refusal_of_the_store_is_no_reason_to_try_again(tmp_path: Path, local: Path) -> None:
    server = FakeServer()
    server.store.failures = {1: deque([httpx.Response(400)])}
    with server.client(tmp_path) as client, pytest.raises(RefusedError):
        client.upload(local)
    assert server.store.puts.count(1) == 1


def test_a_broken_upload_is_taken_up_where_it_ended(tmp_path: Path, local: Path) -> None:
    server = FakeServer()
    server.store.failures = {3: deque([httpx.Response(400)])}
    with server.client(tmp_path) as client:
        with pytest.raises(RefusedError):
            client.upload(local)
        there = sorted(server.store.parts)
        told: list[int] = []
        client.upload(local, progress=lambda done, _total: told.append(done))
    assert 3 not in there
    assert server.store.content == DATA
    assert server.store.puts.count(1) == 1
    assert told[0] == 4 * len(there)
    assert server.paths() == [
        "POST /v1/uploads",
        "POST /v1/uploads/resume",
        "POST /v1/uploads/complete",
    ]
    assert not list(tmp_path.rglob("*.ticket"))


def test_changed_bytes_begin_a_new_upload(tmp_path: Path, local: Path) -> None:
    server = FakeServer()
    server.store.failures = {3: deque([httpx.Response(400)])}
    with server.client(tmp_path) as client:
        with pytest.raises(RefusedError):
            client.upload(local)
        local.write_bytes(DATA[::-1])
        server.store.parts.clear()
        client.upload(local)
    assert server.store.content == DATA[::-1]
    assert server.paths().count("POST /v1/uploads") == 2


def test_a_ticket_that_nobody_knows_any_more_begins_a_new_upload(tmp_path: Path, local: Path) -> None:
    server = FakeServer().on("POST", "/v1/uploads/resume", problem(404, "not_found"))
    from shunter.transfers.checksums import sha256_of

    TicketCache(tmp_path).keep(URL, "x.bin", sha256_of(local), "forgotten")
    with server.client(tmp_path) as client:
        client.upload(local)
    assert server.store.content == DATA


def test_tickets_are_for_their_owner_only(tmp_path: Path) -> None:
    cache = TicketCache(tmp_path)
    cache.keep(URL, "x", "0" * 64, "ticket")
    (kept,) = tmp_path.rglob("*.ticket")
    assert kept.stat().st_mode & 0o077 == 0
    assert cache.find(URL, "x", "0" * 64) == "ticket"
    assert cache.find("http://other.test", "x", "0" * 64) is None


def test_a_cache_that_cannot_be_written_only_costs_the_resuming(tmp_path: Path, local: Path) -> None:
    (tmp_path / "file").touch()
    server = FakeServer()
    with server.client(tmp_path / "file") as client:
        client.upload(local)
    assert server.store.content == DATA


def test_an_upload_can_be_stopped(tmp_path: Path, local: Path) -> None:
    stop = threading.Event()
    stop.set()
    server = FakeServer()
    with server.client(tmp_path) as client, pytest.raises(StoppedError):
        client.upload(local, stop=stop)
    assert server.store.parts == {}


def _serving(content: bytes = DATA) -> FakeServer:
    server = FakeServer()
    server.store.content = content
    return server


def test_a_file_comes_down_and_progress_is_told(tmp_path: Path) -> None:
    server, told = _serving(), list[tuple[int, int]]()
    with server.client(tmp_path) as client:
        client.download("data/x.bin", tmp_path / "deep" / "y.bin", progress=lambda *seen: told.append(seen))
    assert (tmp_path / "deep" / "y.bin").read_bytes() == DATA
    assert told[-1] == (10, 10)
    assert not list(tmp_path.rglob("*.part"))


def test_an_empty_file_comes_down(tmp_path: Path) -> None:
    with _serving(b"").client(tmp_path) as client:
        client.download("x", tmp_path / "y")
    assert (tmp_path / "y").read_bytes() == b""


def test_a_download_that_breaks_off_goes_on_where_it_was(tmp_path: Path) -> None:
    server = _serving()
    server.store.downloads.extend(
        [
            httpx.Response(200, stream=Stream(b"0123", httpx.ReadError("reset"))),
            httpx.ConnectError("refused"),
            httpx.Response(503),
            httpx.Response(206, stream=Stream(b"45")),
        ]
    )
    with server.client(tmp_path) as client:
        client.download("x", tmp_path / "y")
    assert (tmp_path / "y").read_bytes() == DATA
    assert server.store.ranges == [None, "bytes=4-", "bytes=4-", "bytes=4-", "bytes=6-"]


def test_what_an_earlier_run_left_is_used(tmp_path: Path) -> None:
    server = _serving()
    (tmp_path / "y.part").write_bytes(DATA[:7])
    with server.client(tmp_path) as client:
        client.download("x", tmp_path / "y")
    assert server.store.ranges == ["bytes=7-"]
    assert (tmp_path / "y").read_bytes() == DATA


@pytest.mark.parametrize("leftover", [b"other", b"much more than there is"], ids=["of another version", "too long"])
def test_a_leftover_that_does_not_fit_is_thrown_away(tmp_path: Path, leftover: bytes) -> None:
    server, told = _serving(), list[int]()
    (tmp_path / "y.part").write_bytes(leftover)
    with server.client(tmp_path) as client:
        client.download("x", tmp_path / "y", progress=lambda done, _total: told.append(done))
    assert (tmp_path / "y").read_bytes() == DATA
    assert told[-1] == 10


def test_wrong_bytes_never_take_the_files_place(tmp_path: Path) -> None:
    server = _serving()
    server.store.downloads.append(httpx.Response(200, content=b"9876543210"))
    (tmp_path / "y").write_bytes(b"old")
    with server.client(tmp_path) as client, pytest.raises(InternalError, match="checksum"):
        client.download("x", tmp_path / "y")
    assert (tmp_path / "y").read_bytes() == b"old"
    assert not (tmp_path / "y.part").exists()


def test_a_url_that_is_too_old_is_renewed(tmp_path: Path) -> None:
    server = _serving()
    server.store.downloads.append(httpx.Response(403))
    with server.client(tmp_path) as client:
        client.download("x", tmp_path / "y")
    assert server.paths() == ["POST /v1/downloads"] * 2


def test_a_file_that_is_replaced_meanwhile_is_said_to_be(tmp_path: Path) -> None:
    server = _serving()
    first, second = server.store.url(), {**server.store.url(), "sha256": "f" * 64}
    server.on("POST", "/v1/downloads", first, second)
    server.store.downloads.append(httpx.Response(403))
    with server.client(tmp_path) as client, pytest.raises(ConflictError):
        client.download("x", tmp_path / "y")


def test_a_file_that_is_there_already_is_not_fetched(tmp_path: Path) -> None:
    server = _serving()
    (tmp_path / "y").write_bytes(DATA)
    with server.client(tmp_path) as client:
        client.download("x", tmp_path / "y")
    assert server.store.ranges == []


def test_a_store_that_sends_nothing_is_given_up(tmp_path: Path) -> None:
    server = _serving()
    server.store.downloads.extend([httpx.Response(200, content=b"")] * 1000)
    with server.client(tmp_path) as client, pytest.raises(UnavailableError):
        client.download("x", tmp_path / "y")


def test_a_file_that_does_not_exist_leaves_nothing_behind(tmp_path: Path) -> None:
    server = FakeServer().on("POST", "/v1/downloads", problem(404, "not_found"))
    with server.client(tmp_path) as client, pytest.raises(NotFoundError):
        client.download("x", tmp_path / "deep" / "y")
    assert not (tmp_path / "deep").exists()
