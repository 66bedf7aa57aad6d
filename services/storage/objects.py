"""What storage asks of whatever holds the bytes: a bucket of S3, or a folder of this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

__all__ = ["Arrival", "Content", "Form", "Objects", "StoredPart"]


@dataclass(frozen=True, slots=True)
class Content:
    """What an object holds. The checksum is empty if the size alone told that it is the wrong one."""

    size: int
    sha256: str
    parts: tuple[str, ...] = ()
    """The checksum of each part, where the size of parts was named."""


@dataclass(frozen=True, slots=True)
class StoredPart:
    """A part that the store has."""

    number: int
    size: int
    etag: str


@dataclass(frozen=True, slots=True)
class Form:
    """How a browser POSTs files into a part of the store that is for them alone."""

    url: str
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Arrival:
    """An object that came by a form."""

    key: str
    size: int
    tag: str
    """Changes with the bytes."""


class Objects(Protocol):
    """One place for objects. Raises our own errors only; what is gone is deleted and aborted in silence."""

    def close(self) -> None:
        """Let go of the threads; objects that are being read are put aside."""

    async def check(self) -> None:
        """Make sure that the place is there, making it if it is not; raises when the store does not answer."""

    async def tidy(self, age: timedelta) -> int:
        """Remove what crashes left over that is older, and return how many things that were."""

    async def presign_get(self, key: str, expires: timedelta, *, filename: str, content_type: str) -> str:
        """Return a URL that gives the object under a name, as something to keep and not to show."""

    async def presign_gets(self, keys: Sequence[str], expires: timedelta) -> list[str]:
        """Return a URL for each object."""

    async def presign_put(self, key: str, expires: timedelta) -> str:
        """Return a URL that takes the whole object."""

    async def presign_parts(self, key: str, upload_id: str, numbers: Sequence[int], expires: timedelta) -> list[str]:
        """Return a URL that takes it, for each part."""

    async def begin(self, key: str, content_type: str, size: int) -> str:
        """Begin an upload in parts and return its id; refuses what there is no room for, if the store knows."""

    async def parts(self, key: str, upload_id: str) -> list[StoredPart]:
        """Return the parts that are there, by number; of one that came twice maybe both, the newer one last."""

    async def complete(self, key: str, upload_id: str, parts: Sequence[StoredPart]) -> None:
        """Make the object of its parts; their URLs are worth nothing from now on."""

    async def abort(self, key: str, upload_id: str) -> None:
        """Drop an upload and its parts."""

    async def exists(self, key: str) -> bool:
        """Say whether the object is there."""

    async def measure(self, key: str, expected_size: int, part_size: int | None = None) -> Content:
        """Read the object through for its checksum, if it has the right size; with *part_size* for those of parts."""

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete objects, a thousand at most."""

    async def form(self, prefix: str, expires: timedelta, most: int) -> Form:
        """Return a form that takes files of at most *most* bytes, each under *prefix* and its own name."""

    async def arrivals(self, prefix: str) -> list[Arrival]:
        """Return what came below a prefix."""

    async def adopt(self, arrival: Arrival, key: str) -> None:
        """Copy what arrived to a key of its own; raises `NotFoundError` if it is not that any more."""
