"""Names: folders that are there while nothing is in them, and moves that nobody ever sees a half of."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from contracts.errors import ConflictError, InvalidError, NotFoundError
from contracts.file_commands import MoveFile
from contracts.file_events import FileMoved, FolderMade, FolderMoved, FolderRemoved
from contracts.queries import DownloadFile, FreezeInputs, Frozen
from contracts.spec import Input
from tests.support.storage import EVE, User, fetch, put_part

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def special() -> dict[str, Any]:
    """Everybody has two areas."""
    return {"areas": ["area/data", "area/log"]}


AREAS = ["area/data/", "area/log/"]


# --- folders ------------------------------------------------------------------------------------------------------


async def test_a_folder_is_there_while_nothing_is_in_it(ada: User) -> None:
    assert await ada.make("d/empty") == "d/empty/"
    assert await ada.make("d/empty") == "d/empty/"
    assert await ada.names() == [*AREAS, "d/empty/"]
    assert await ada.names("d/", recursive=False) == ["d/empty/"]
    assert await ada.names("d/empty/", recursive=False) == []
    found = await ada.folder("d/empty")
    assert (found.made, found.files, found.size) == (True, 0, 0)
    assert [event.path for event in await ada.events(FolderMade)] == ["d/empty"]

    assert await ada.delete("d/empty", recursive=True) == 0
    assert [event.path for event in await ada.events(FolderRemoved)] == ["d/empty"]
    for path in ("d/empty", "d"):
        with pytest.raises(NotFoundError):
            await ada.folder(path)
        with pytest.raises(NotFoundError):
            await ada.delete(path, recursive=True)


async def test_a_folder_is_there_by_what_is_in_it(ada: User) -> None:
    await ada.put("d/a", b"12")
    await ada.put("d/e/b", b"345")
    found = await ada.folder("d")
    assert (found.path, found.made, found.files, found.size) == ("d/", False, 2, 5)
    with pytest.raises(ConflictError):
        await ada.make("d/a")
    with pytest.raises(InvalidError):
        await ada.make("jobs/mine")
    with pytest.raises(NotFoundError):
        await User(ada.bus, EVE).folder("d", ada.principal.subject)


async def test_areas_are_everybodys_and_stay(ada: User) -> None:
    assert await ada.names(recursive=False) == ["area/"]
    assert (await ada.folder("area/log")).made
    await ada.put("area/log/a", b"1")
    assert await ada.delete("area/log", recursive=True) == 1
    assert await ada.delete("area/log", recursive=True) == 0
    assert await ada.names() == AREAS
    with pytest.raises(ConflictError):
        await ada.move("area/log", "elsewhere", folder=True)


# --- moves --------------------------------------------------------------------------------------------------------


async def test_a_file_gets_another_name_and_keeps_its_bytes(ada: User) -> None:
    record = await ada.put("a.txt", b"same")
    frozen: Frozen = await ada.ask(FreezeInputs(principal=ada.principal, inputs=[Input(source="a.txt")]))
    assert (await ada.move("a.txt", "new/b.txt")).path == "new/b.txt"
    assert await ada.names() == [*AREAS, "new/b.txt"]
    moved = await ada.get("new/b.txt")
    assert moved == record.model_copy(update={"path": "new/b.txt"})
    assert frozen.inputs[0].key == moved.key
    (event,) = await ada.events(FileMoved)
    assert (event.path, event.to, event.key) == ("a.txt", "new/b.txt", record.key)
    assert (await ada.move("new/b.txt", "new/b.txt")).moved == 0


async def test_a_tree_moves_with_all_that_is_in_it_and_nothing_beside_it(ada: User) -> None:
    for path in ("d/a", "d/e/b", "d.txt", "dd/a", "d-x/a"):
        await ada.put(path, path.encode())
    await ada.make("d/empty")
    assert (await ada.move("d", "x/y", folder=True)).moved == 2
    assert await ada.names() == [*AREAS, "d-x/a", "d.txt", "dd/a", "x/y/a", "x/y/e/b", "x/y/empty/"]
    (event,) = await ada.events(FolderMoved)
    assert (event.path, event.to, event.files) == ("d", "x/y", 2)


async def test_what_is_there_is_overwritten_only_if_told(ada: User) -> None:
    await ada.put("a", b"new")
    await ada.put("b", b"old")
    with pytest.raises(ConflictError):
        await ada.move("a", "b")
    assert (await ada.move("a", "b", replace=True)).moved == 1
    assert [(file.path, file.size) for file in (await ada.page()).items] == [("b", 3)]

    await ada.put("one/a", b"1")
    await ada.put("two/a", b"22")
    await ada.put("two/z", b"3")
    with pytest.raises(ConflictError):
        await ada.move("one", "two", folder=True)
    assert await ada.names("two/") == ["two/a", "two/z"]
    await ada.make("three/empty")
    with pytest.raises(ConflictError):
        await ada.move("one", "three", folder=True)
    await ada.delete("three/empty", recursive=True)
    await ada.make("three")
    assert (await ada.move("one", "three", folder=True)).moved == 1, "over an empty folder"
    await ada.move("three", "one", folder=True)
    await ada.move("one", "two", folder=True, replace=True)
    assert [(file.path, file.size) for file in (await ada.page(prefix="two/")).items] == [("two/a", 1)]


async def test_moves_that_make_no_sense_change_nothing(ada: User) -> None:
    await ada.put("d/a", b"1")
    await ada.put("d/e/a", b"1")
    before = await ada.names()
    wrong: list[tuple[str, str, bool, type[Exception]]] = [
        ("d", "d/e/f", True, InvalidError),
        ("d/e", "d", True, InvalidError),
        ("d", "jobs/x", True, InvalidError),
        ("d", "d/a", True, InvalidError),
        ("d/e", "d/a", True, ConflictError),
        ("d/a", "d/e", False, ConflictError),
        ("d/a", "area/log", False, ConflictError),
        ("d", "x", False, NotFoundError),
        ("d/a", "x", True, NotFoundError),
        ("d/e", "/".join(["n" * 200] * 5) + "/" + "n" * 18, True, InvalidError),
    ]
    for path, to, folder, refusal in wrong:
        with pytest.raises(refusal):
            await ada.move(path, to, folder=folder, replace=True)
    assert await ada.names() == before


async def test_a_move_that_is_brought_again_moves_once(ada: User) -> None:
    await ada.put("d/a", b"1")
    await ada.redeliver(MoveFile(principal=ada.principal, path="d", to="e", folder=True), times=3)
    assert await ada.names() == [*AREAS, "e/a"]
    assert len(await ada.events(FolderMoved)) == 1


async def test_nobody_sees_a_half_of_a_move(ada: User) -> None:
    for number in range(20):
        await ada.put(f"here/{number}", b"")
    seen: set[tuple[int, int]] = set()

    async def look() -> None:
        while True:
            names = await ada.names()
            seen.add(
                (sum(name.startswith("here/") for name in names), sum(name.startswith("there/") for name in names))
            )

    looking = asyncio.create_task(look())
    for _ in range(10):
        await ada.move("here", "there", folder=True)
        await ada.move("there", "here", folder=True)
    looking.cancel()
    assert seen <= {(20, 0), (0, 20)}


async def test_an_upload_that_is_complete_tells_of_the_file_wherever_it_is_now(ada: User) -> None:
    plan = await ada.open("a", b"x")
    done = [await put_part(plan.parts[0], b"x")]
    record = await ada.complete(plan, done)
    await ada.move("a", "b")
    assert await ada.complete(plan, done) == record.model_copy(update={"path": "b"})
    url = await ada.ask(DownloadFile(principal=ada.principal, path="b"))
    assert (await fetch(url.url)).content == b"x"
