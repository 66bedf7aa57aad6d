"""Questions about folders."""

from __future__ import annotations

from typing import Any, ClassVar

from .files import FolderRecord
from .principals import Principal
from .query import Query
from .spec import FilePath

__all__ = ["FILE_QUERIES", "GetFolder"]


class GetFolder(Query):
    """Give me what a folder holds. A folder is there if it was made, or if a file is in it."""

    name: ClassVar[str] = "folder.get"
    service: ClassVar[str] = "storage"
    answer: ClassVar[Any] = FolderRecord

    principal: Principal
    path: FilePath
    """Without a `/` at its end."""
    owner: str | None = None
    """Whose folder; by default the principal's."""


FILE_QUERIES: tuple[type[Query], ...] = (GetFolder,)
"""All of them."""
