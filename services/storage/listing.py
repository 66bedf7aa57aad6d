"""Pages of files by path, with folders where a listing stops at `/`."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from contracts.errors import InvalidError
from contracts.files import Folder
from contracts.queries import FilePage

from .stored import StoredFile

__all__ = ["Fetch", "Listing", "cursor_of", "list_page", "start_of", "successor"]

Fetch = Callable[[str, str | None, int], Awaitable[list[StoredFile | Folder]]]
"""Gives at most so many files, and folders that were made, by path: from the first argument on and below the second."""

_AFTER = "\x01"
"""No path holds a control character, so nothing lies between a path and the same with this at its end."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SURROGATES = range(0xD800, 0xE000)
_LAST = 0x10FFFF


@dataclass(frozen=True, slots=True)
class Listing:
    """What to list."""

    prefix: str
    recursive: bool
    limit: int
    cursor: str | None


@dataclass(slots=True)
class _Page:
    """A page under construction; *start* is where the search goes on."""

    start: str
    files: list[StoredFile] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.files) + len(self.folders)


def successor(prefix: str) -> str | None:
    """Return the first text that is greater than all that begin with *prefix*; none if there is no such text."""
    while prefix:
        following = ord(prefix[-1]) + 1
        if following <= _LAST:
            return prefix[:-1] + chr(_SURROGATES.stop if following in _SURROGATES else following)
        prefix = prefix[:-1]
    return None


async def list_page(listing: Listing, fetch: Fetch) -> FilePage:
    """Fetch one page. Folders that were made are on it also where it goes into folders."""
    if _CONTROL.search(listing.prefix):
        raise InvalidError.of("prefix", "control characters are not allowed in a path")
    end = successor(listing.prefix)
    page = _Page(max(start_of(listing.cursor), listing.prefix))
    while True:
        # One more than fits tells whether there is another page.
        wanted = listing.limit + 1 - len(page)
        found = await fetch(page.start, end, wanted)
        if not _take(listing, page, found):
            return _answer(page, more=True)
        if len(found) < wanted:
            return _answer(page, more=False)


def _take(listing: Listing, page: _Page, found: list[StoredFile | Folder]) -> bool:
    """Put files or their folders on the page; False when it is full."""
    for one in found:
        if one.path < page.start:
            continue
        if one.path == listing.prefix and isinstance(one, Folder):
            continue  # the folder itself is not among what is in it
        if len(page) == listing.limit:
            return False
        folder = None if listing.recursive else _folder_of(one.path, listing.prefix)
        if folder is not None:
            page.folders.append(folder)
            # All that is in the folder is passed over at once, however much it is.
            page.start = successor(folder) or one.path
            continue
        if isinstance(one, StoredFile):
            page.files.append(one)
        else:
            page.folders.append(one.path)
        page.start = one.path + _AFTER
    return True


def _folder_of(path: str, prefix: str) -> str | None:
    head, separator, _ = path[len(prefix) :].partition("/")
    return prefix + head + separator if separator else None


def _answer(page: _Page, *, more: bool) -> FilePage:
    return FilePage(
        items=[file.to_record() for file in page.files],
        folders=[Folder(path=path) for path in page.folders],
        next_cursor=cursor_of(page.start) if more else None,
    )


def cursor_of(start: str) -> str:
    """Return the cursor of a list that goes on at a text."""
    return base64.urlsafe_b64encode(start.encode()).decode().rstrip("=")


def start_of(cursor: str | None) -> str:
    """Return where a list goes on, or refuse what is no cursor."""
    if not cursor:
        return ""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        start = raw.decode()
    except (binascii.Error, ValueError) as error:
        raise InvalidError.of("cursor", "is not one that a listing gave") from error
    if "\x00" in start:
        raise InvalidError.of("cursor", "is not one that a listing gave")
    return start
