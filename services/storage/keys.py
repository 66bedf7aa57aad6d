"""Names of objects, and the jail that keeps every owner in their own part of the bucket."""

from __future__ import annotations

import re

from contracts.errors import InvalidError
from contracts.ids import message_id
from contracts.runs import RunTicket

__all__ = ["is_key_of", "new_key", "owner_folder", "require_own_path", "run_path"]

_JOBS = "jobs"
"""The folder of every owner in which Shunter, and nobody else, puts files."""

_UNSAFE = re.compile(r"[^A-Za-z0-9.-]")
_NAME = re.compile(r"[0-9a-f]{32}")


def owner_folder(owner: str) -> str:
    """Return the owner's part of the bucket: safe in keys and URLs, and no two owners share one."""
    return _UNSAFE.sub(lambda found: "".join(f"_{byte:02X}" for byte in found[0].encode()), owner)


def new_key(owner: str) -> str:
    """Return a key that no object has yet."""
    return f"{owner_folder(owner)}/{message_id()}"


def is_key_of(owner: str, key: str) -> bool:
    """Say whether a key is one of ours in the owner's part."""
    folder, _, name = key.partition("/")
    return folder == owner_folder(owner) and _NAME.fullmatch(name) is not None


def require_own_path(path: str) -> None:
    """Refuse a path that users must not write to."""
    if path == _JOBS or path.startswith(f"{_JOBS}/"):
        raise InvalidError.of("path", f"files below {_JOBS}/ are written by jobs only; choose another folder")


def run_path(ticket: RunTicket, path: str) -> str:
    """Return where an attempt's file lies among its owner's, or refuse a place that is not the attempt's."""
    own = ("outputs/", f"logs/{ticket.attempt}/")
    if not path.startswith(own):
        raise InvalidError.of("path", f"must begin with {own[0]} or {own[1]}")
    return f"{_JOBS}/{ticket.workload_id}/{path}"
