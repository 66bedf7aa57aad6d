"""Pages hold everything once, in order, however they are cut."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import InvalidError
from contracts.files import Folder
from contracts.queries import FilePage
from services.storage.listing import Fetch, Listing, list_page, successor
from services.storage.stored import StoredFile

AT = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = st.text(alphabet="ab-0é\U0010fffd", min_size=1, max_size=2)
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)


def _file(path: str) -> StoredFile:
    return StoredFile("ada", path, f"ada/{path}", 0, "0" * 64, "text/plain", None, AT)


def _shelf(paths: set[str], asked: list[int] | None = None) -> Fetch:
    """Give files, and as folders what ends with `/`, as the database does."""

    async def fetch(start: str, end: str | None, limit: int) -> list[StoredFile | Folder]:
        if asked is not None:
            asked.append(limit)
        found = sorted(path for path in paths if path >= start and (end is None or path < end))
        return [Folder(path=path) if path.endswith("/") else _file(path) for path in found[:limit]]

    return fetch


async def _pages(paths: set[str], prefix: str, limit: int, *, recursive: bool) -> list[FilePage]:
    pages: list[FilePage] = []
    cursor: str | None = None
    while not pages or cursor:
        pages.append(await list_page(Listing(prefix, recursive, limit, cursor), _shelf(paths)))
        cursor = pages[-1].next_cursor
    return pages


@given(st.sets(PATHS, max_size=15), st.text(alphabet="ab/", max_size=3), st.integers(1, 4), st.booleans())
async def test_pages_hold_everything_once(paths: set[str], prefix: str, limit: int, recursive: bool) -> None:
    pages = await _pages(paths, prefix, limit, recursive=recursive)
    items = [file.path for page in pages for file in page.items]
    folders = [folder.path for page in pages for folder in page.folders]
    below = {path for path in paths if path.startswith(prefix)}
    deeper = {path for path in below if not recursive and "/" in path[len(prefix) :]}

    assert items == sorted(below - deeper)
    assert folders == sorted({prefix + path[len(prefix) :].partition("/")[0] + "/" for path in deeper})
    assert all(len(page.items) + len(page.folders) == limit for page in pages[:-1])
    assert len(pages[-1].items) + len(pages[-1].folders) <= limit


@given(
    st.sets(PATHS, max_size=8),
    st.sets(PATHS.map(lambda path: f"{path}/"), max_size=8),
    st.sampled_from(["", "a", "a/", "b/a/"]),
    st.integers(1, 4),
)
async def test_folders_that_were_made_are_listed_once_beside_the_files(
    paths: set[str], made: set[str], prefix: str, limit: int
) -> None:
    every = {path for path in paths | (made - {prefix}) if path.startswith(prefix)}
    for recursive in (True, False):
        pages = await _pages(paths | made, prefix, limit, recursive=recursive)
        shown = [folder.path for page in pages for folder in page.folders]
        deeper = {prefix + path[len(prefix) :].partition("/")[0] + "/" for path in every if "/" in path[len(prefix) :]}
        assert shown == sorted(every & made if recursive else deeper)
        files = [file.path for page in pages for file in page.items]
        assert files == sorted(path for path in every - made if recursive or "/" not in path[len(prefix) :])


@given(PATHS, PATHS)
def test_the_successor_is_above_all_that_begins_so_and_below_the_rest(prefix: str, other: str) -> None:
    after = successor(prefix)
    assert after is not None
    after.encode()
    assert prefix + other < after
    assert other <= prefix or other.startswith(prefix) or other >= after


@pytest.mark.parametrize(
    ("prefix", "after"), [("a/", "a0"), ("\ud7ff", "\ue000"), ("a\U0010ffff", "b"), ("\U0010ffff", None), ("", None)]
)
def test_a_successor_can_be_written(prefix: str, after: str | None) -> None:
    assert successor(prefix) == after


async def test_a_large_folder_is_passed_over_at_once() -> None:
    asked: list[int] = []
    paths = {f"big/{number:05}" for number in range(5000)} | {"z"}
    page = await list_page(Listing("", recursive=False, limit=10, cursor=None), _shelf(paths, asked))

    assert ([folder.path for folder in page.folders], [file.path for file in page.items]) == (["big/"], ["z"])
    assert sum(asked) <= 30


@pytest.mark.parametrize("cursor", ["§", "a", "====", "_w", "AAAA"])
async def test_a_made_up_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidError):
        await list_page(Listing("", recursive=True, limit=1, cursor=cursor), _shelf({"a"}))


async def test_control_characters_are_refused() -> None:
    with pytest.raises(InvalidError):
        await list_page(Listing("a\x00", recursive=True, limit=1, cursor=None), _shelf({"a"}))
