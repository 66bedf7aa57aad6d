"""What goes wrong with a folder, said in our own error tree."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from contracts.errors import NotFoundError, UnavailableError

__all__ = ["FullError", "disk_translated"]

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class FullError(UnavailableError):
    """There is no room for it."""

    def __init__(self) -> None:
        super().__init__("the object store is full", retry_after=60.0)


@contextmanager
def disk_translated() -> Iterator[None]:
    """Say errors of the file system as ours."""
    try:
        yield
    except FileNotFoundError as error:
        raise NotFoundError("the object store has no such object or upload") from error
    except OSError as error:
        if error.errno in _FULL:
            raise FullError from error
        name = errno.errorcode.get(error.errno or 0, "OSError")
        raise UnavailableError(f"the object store cannot serve us: {name}", retry_after=5.0) from error
