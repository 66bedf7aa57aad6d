"""Names of objects, and the jail that keeps every owner in their own part of the bucket."""

from __future__ import annotations

import re

from contracts.errors import InvalidError
from contracts.ids import message_id
from contracts.runs import RunTicket
from contracts.staging import JOBS_FOLDER

__all__ = ["is_key_of", "new_key", "owner_folder", "require_own_path", "run_path"]

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
    if path == JOBS_FOLDER or path.startswith(f"{JOBS_FOLDER}/"):
        raise InvalidError.of("path", f"files below {JOBS_FOLDER}/ are written by jobs only; choose another folder")


def run_path(ticket: RunTicket, path: str, to: str | None = None) -> str:
    """Return where an attempt's file lies among its owner's, or refuse a place that is not the attempt's."""
    own = ("outputs/", f"logs/{ticket.attempt}/")
    if not path.startswith(own):
        raise InvalidError.of("path", f"must begin with {own[0]} or {own[1]}")
    if to is None:
        return f"{JOBS_FOLDER}/{ticket.workload_id}/{path}"
    if to not in ticket.folders or not path.startswith(own[0]):
        raise InvalidError.of("to", f"the outputs of this job do not go to {to}")
    require_own_path(to)
    return f"{to}/{path.removeprefix(own[0])}"
