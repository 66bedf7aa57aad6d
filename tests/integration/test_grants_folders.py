"""Sharing folders, on the real storage: who was let in reads or writes there, and nobody else sees anything."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from nats.js.errors import NotFoundError as NoMessageError

from contracts.envelope import Envelope
from contracts.errors import ForbiddenError, InvalidError, NotFoundError
from contracts.events import Event, FolderShared, FolderUnshared
from contracts.files import DownloadUrl
from contracts.grants import Right
from contracts.model import now
from contracts.principals import Principal
from contracts.queries import DownloadFile, FreezeInputs
from contracts.spec import Input
from contracts.subjects import subject_of
from services.chassis.bus import Bus
from services.storage.rights import folders_of, within
from tests.support.sharing import Sharer
from tests.support.storage import ADMIN, User, fetch, put_part

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def bob(storage_bus: Bus) -> User:
    return User(storage_bus)


def _sharer(user: User) -> Sharer:
    return Sharer(user.bus, user.principal)


def _name(user: User) -> str:
    return user.principal.subject


def _word(user: User) -> str:
    return f"user:{_name(user)}"


async def _paths(user: User, owner: User, prefix: str = "", **more: Any) -> list[str]:
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = await user.page(owner=_name(owner), prefix=prefix, cursor=cursor, **more)
        found += [*(item.path for item in page.items), *(folder.path for folder in page.folders)]
        if (cursor := page.next_cursor) is None:
            return found


async def test_a_shared_folder_is_read_and_nothing_beside_it(ada: User, bob: User) -> None:
    for path in ("data/a", "data/deep/b", "data2/c", "secret/d", "e"):
        await ada.put(path, path.encode())
    with pytest.raises(NotFoundError):
        await _paths(bob, ada)
    await _sharer(ada).share_folder("data", _word(bob))
    assert await _paths(bob, ada) == await _paths(bob, ada, limit=1) == ["data/a", "data/deep/b"]
    assert await _paths(bob, ada, "data/de") == ["data/deep/b"]
    assert await _paths(bob, ada, "data/", recursive=False) == ["data/a", "data/deep/"]
    assert await _paths(bob, ada, recursive=False) == ["data/"]
    assert await _paths(bob, ada, "data/nothing") == []
    assert (await bob.get("data/deep/b", _name(ada))).owner == _name(ada)
    url: DownloadUrl = await bob.ask(
        DownloadFile(principal=bob.principal, path="data/a", owner=_name(ada), expires=86400)
    )
    assert (await fetch(url.url)).content == b"data/a"
    assert url.expires_at < now() + timedelta(minutes=16)
    for path in ("data2/c", "secret/d", "e", "data", "data/missing"):
        with pytest.raises(NotFoundError):
            await bob.get(path, _name(ada))
    for prefix in ("data2", "secret/", "e"):
        with pytest.raises(NotFoundError):
            await _paths(bob, ada, prefix)
    assert await _sharer(bob).received_folders() == ["data"]


async def test_a_stranger_sees_nothing(ada: User, bob: User) -> None:
    await ada.put("data/a", b"a")
    await _sharer(ada).share_folder("data", _word(bob))
    eve = User(ada.bus)
    with pytest.raises(NotFoundError):
        await _paths(eve, ada, "data/")
    with pytest.raises(NotFoundError):
        await eve.get("data/a", _name(ada))
    with pytest.raises(NotFoundError):
        await eve.open("data/x", b"x", owner=_name(ada))
    with pytest.raises(NotFoundError):
        await _sharer(eve).grants_on_folder("data", _name(ada))
    with pytest.raises(NotFoundError):
        await _sharer(eve).share_folder("data", _word(eve), owner=_name(ada))
    assert await _sharer(eve).received_folders() == []


async def test_only_whoever_controls_a_folder_writes_into_it(ada: User, bob: User) -> None:
    await _sharer(ada).share_folder("in/box", _word(bob))
    with pytest.raises(ForbiddenError):
        await bob.open("in/box/x", b"x", owner=_name(ada))
    await _sharer(ada).share_folder("in/box", _word(bob), Right.CONTROL)
    record = await bob.put("in/box/x", b"from bob", owner=_name(ada))
    assert (record.owner, record.path) == (_name(ada), "in/box/x")
    assert (await ada.get("in/box/x")).sha256 == record.sha256
    with pytest.raises(NotFoundError):
        await bob.get("in/box/x")
    for path in ("in/y", "in/box2/y"):
        with pytest.raises(NotFoundError):
            await bob.open(path, b"x", owner=_name(ada))
    with pytest.raises(InvalidError):
        await bob.open("jobs/x", b"x", owner=_name(ada))
    with pytest.raises(NotFoundError):
        await bob.delete("in/box/x")
    with pytest.raises(NotFoundError):
        await _sharer(bob).share_folder("in/box", "user:mal", owner=_name(ada))


async def test_what_was_taken_back_is_gone_at_once_and_open_uploads_with_it(ada: User, bob: User) -> None:
    await ada.put("data/a", b"a")
    await _sharer(ada).share_folder("data", _word(bob), Right.CONTROL)
    plan = await bob.open("data/x", b"late", owner=_name(ada))
    with pytest.raises(NotFoundError):
        await ada.resume(plan.ticket)
    assert len((await bob.resume(plan.ticket)).parts) == 1
    done = [await put_part(part, b"late") for part in plan.parts]
    await _sharer(ada).unshare_folder("data", _word(bob))
    for late in (bob.complete(plan, done), bob.resume(plan.ticket), bob.get("data/a", _name(ada)), _paths(bob, ada)):
        with pytest.raises(NotFoundError):
            await late
    with pytest.raises(NotFoundError):
        await ada.get("data/x")
    with pytest.raises(NotFoundError):
        await _sharer(ada).unshare_folder("data", _word(bob))


async def test_folders_in_folders_are_listed_once(ada: User, bob: User) -> None:
    for path in ("a/1", "a/b/2", "a/b/c/3", "a.b/4", "d/5", "d/e/6"):
        await ada.put(path, b"x")
    for folder in ("a/b", "a/b/c", "a.b", "d/e"):
        await _sharer(ada).share_folder(folder, _word(bob))
    assert await _paths(bob, ada) == await _paths(bob, ada, limit=1) == ["a.b/4", "a/b/2", "a/b/c/3", "d/e/6"]
    assert await _paths(bob, ada, "a/") == ["a/b/2", "a/b/c/3"]
    assert await _paths(bob, ada, "a", recursive=False) == ["a.b/", "a/"]


async def test_the_owner_sees_who_was_let_in_and_admins_help(ada: User, bob: User) -> None:
    sharer = _sharer(ada)
    first = await sharer.share_folder("data", _word(bob))
    assert (first.resource, first.created_by) == ("folder:data", _name(ada))
    assert await sharer.share_folder("data/", _word(bob)) == first
    await Sharer(ada.bus, ADMIN).share_folder("data", "project:optics", owner=_name(ada))
    await sharer.share_folder("other", "token:t1", Right.CONTROL)
    on_data = {grant.grantee: grant.created_by for grant in await sharer.grants_on_folder("data")}
    assert on_data == {_word(bob): _name(ada), "project:optics": "root"}
    assert len(await sharer.grants_on_folder(None)) == 3
    assert [grant.grantee for grant in await _sharer(bob).grants_on_folder(None, _name(ada))] == [_word(bob)]
    shared = FolderShared(owner=_name(ada), path="data", grant=first, at=now())
    await sharer.unshare_folder("data", _word(bob))
    gone = FolderUnshared(owner=_name(ada), path="data", grant=first, at=now())
    for event, about in ((gone, "data"), (shared, "other")):  # in this order: the last one is said last
        envelope = await _last(ada.bus, event)
        assert (envelope.owner, envelope.data["path"], envelope.actor) == (_name(ada), about, f"user:{_name(ada)}")


async def _last(bus: Bus, event: Event) -> Envelope:
    async with asyncio.timeout(10):
        while True:
            with suppress(NoMessageError):
                return Envelope.from_bytes((await bus.jetstream.get_last_msg("EVENTS", subject_of(event))).data or b"")
            await asyncio.sleep(0.01)


async def test_a_token_and_a_project_are_let_in(ada: User) -> None:
    await ada.put("data/a", b"a")
    await _sharer(ada).share_folder("data", "token:t1")
    await _sharer(ada).share_folder("data", "project:optics")
    robot = Principal(subject="robot", token="t1")
    member = Principal.model_validate({"subject": "may", "projects": {"optics": "member"}})
    for who in (robot, member):
        assert (await User(ada.bus, who).get("data/a", _name(ada))).path == "data/a"
    with pytest.raises(NotFoundError):
        await User(ada.bus, Principal(subject="robot", token="t2")).get("data/a", _name(ada))


async def test_a_job_s_inputs_are_its_owner_s_own_files(ada: User, bob: User) -> None:
    await ada.put("data/a", b"a")
    await _sharer(ada).share_folder("data", _word(bob))
    with pytest.raises(InvalidError):
        await bob.ask(FreezeInputs(principal=bob.principal, inputs=[Input(source="data/a")]))


async def test_ranges_are_cut() -> None:
    assert list(folders_of("a/b/c")) == ["a", "a/b"]
    assert list(folders_of("a")) == []
    ranges = [("b/", "b0"), ("d/", None)]
    assert within(ranges, "", None) == ranges
    assert within(ranges, "b/x", "c") == [("b/x", "b0")]
    assert within(ranges, "b1", "z") == [("d/", "z")]
