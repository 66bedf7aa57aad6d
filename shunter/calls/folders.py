"""Calls about folders and the names of files."""

from __future__ import annotations

from collections.abc import Sequence

import httpx

from contracts.files import FolderRecord, Moved
from contracts.model import Model
from contracts.shelves import (
    FolderRule,
    FolderRulePage,
    FolderRuleSpec,
    Gone,
    OwnersPage,
    Purged,
    Restored,
    StorageUsage,
    VersionPage,
)

from .call import Call, params_of, path_of, reads

__all__ = [
    "drop_rule",
    "empty_trash",
    "get_folder",
    "get_usage",
    "list_owners",
    "list_rules",
    "list_versions",
    "make_folder",
    "move_file",
    "purge_version",
    "restore",
    "restore_version",
    "set_rule",
]

_FOLDERS = "v1/folders"
_RULES = "v1/folder-rules"
_VERSIONS = "v1/versions"


class _NewName(Model):
    path: str
    to: str
    folder: bool
    replace: bool


class _Wish(Model):
    version: str | None = None
    to: str | None = None
    path: str | None = None
    folder: bool = False


def get_folder(path: str, *, owner: str | None = None) -> Call[FolderRecord]:
    """Ask what a folder holds: one's own, or one that *owner* shares."""
    return Call("GET", path_of(_FOLDERS, path), reads(FolderRecord), params_of(owner=owner))


def make_folder(path: str) -> Call[bool]:
    """Let there be a folder; false means that the command is kept for later."""
    return Call("PUT", path_of(_FOLDERS, path), _is_done)


def move_file(path: str, to: str, *, folder: bool = False, replace: bool = False) -> Call[Moved | None]:
    """Give a file or a folder another name; none: the command is kept for later."""
    body = _NewName(path=path, to=to, folder=folder, replace=replace).model_dump_json().encode()
    # Sent twice, the second would not find what the first moved.
    return Call("POST", path_of("v1/moves"), _moved, body=body, repeatable=False)


def list_rules(*, owner: str | None = None) -> Call[FolderRulePage]:
    """List the rules of folders: one's own, or those of *owner*."""
    return Call("GET", path_of(_RULES), reads(FolderRulePage), params_of(owner=owner))


def set_rule(folder: str | None, rule: FolderRuleSpec, *, owner: str | None = None) -> Call[FolderRule | None]:
    """Bound a folder, or all that *owner* has; none: the command is kept for later."""
    body = rule.model_dump_json(exclude_none=True).encode()
    return Call("PUT", path_of(_RULES), _rule, params_of(folder=folder, owner=owner), body=body)


def _rule(response: httpx.Response) -> FolderRule | None:
    return reads(FolderRule)(response) if _is_done(response) else None


def drop_rule(folder: str | None, *, owner: str | None = None) -> Call[bool]:
    """Bound a folder no more; false means that the command is kept for later."""
    return Call("DELETE", path_of(_RULES), _is_done, params_of(folder=folder, owner=owner))


def get_usage(*, owner: str | None = None) -> Call[StorageUsage]:
    """Ask what all files come to: one's own, or those of *owner*."""
    return Call("GET", path_of("v1/storage"), reads(StorageUsage), params_of(owner=owner))


def list_owners(*, limit: int = 100, cursor: str | None = None) -> Call[OwnersPage]:
    """List what everybody's files come to."""
    return Call("GET", path_of("v1/storage/owners"), reads(OwnersPage), params_of(limit=limit, cursor=cursor))


def list_versions(
    path: str | None = None,
    reasons: Sequence[Gone] = (),
    *,
    owner: str | None = None,
    limit: int = 100,
    cursor: str | None = None,
) -> Call[VersionPage]:
    """List what files were before, those that went last first."""
    words = [reason.value for reason in reasons]
    params = params_of(path=path, reason=words, owner=owner, limit=limit, cursor=cursor)
    return Call("GET", path_of(_VERSIONS), reads(VersionPage), params)


def purge_version(version: str) -> Call[bool]:
    """Do away with a version; false means that the command is kept for later."""
    return Call("DELETE", path_of(_VERSIONS, version), _is_done)


def restore_version(version: str, to: str | None = None) -> Call[Restored | None]:
    """Let a file be as it was; none: the command is kept for later."""
    body = _Wish(version=version, to=to).model_dump_json(exclude_none=True).encode()
    return Call("POST", path_of("v1/restores"), _restored, body=body)


def restore(path: str, *, folder: bool = False) -> Call[Restored | None]:
    """Bring a file or a folder back from the trash; none: the command is kept for later."""
    body = _Wish(path=path, folder=folder).model_dump_json(exclude_none=True).encode()
    # Sent twice, the second would find nothing in the trash.
    return Call("POST", path_of("v1/restores"), _restored, body=body, repeatable=False)


def _restored(response: httpx.Response) -> Restored | None:
    return reads(Restored)(response) if _is_done(response) else None


def empty_trash(path: str | None = None) -> Call[Purged | None]:
    """Do away with what is in the trash, or with what is there of one folder; none: the command is kept for later."""
    return Call("DELETE", path_of("v1/trash"), _purged, params_of(path=path))


def _purged(response: httpx.Response) -> Purged | None:
    return reads(Purged)(response) if _is_done(response) else None


def _moved(response: httpx.Response) -> Moved | None:
    return reads(Moved)(response) if _is_done(response) else None


def _is_done(response: httpx.Response) -> bool:
    return response.status_code != 202
