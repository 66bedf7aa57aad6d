"""Calls about grants: who else may read or control a job or a folder, and what others share with us."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import httpx

from contracts.grants import Grant, GrantPage, Right
from contracts.model import Model

from .call import Call, params_of, path_of, reads

__all__ = [
    "list_folder_grants",
    "list_job_grants",
    "list_shared",
    "share_folder",
    "share_job",
    "unshare_folder",
    "unshare_job",
]

_JOBS, _FOLDERS = "v1/jobs", "v1/folder-grants"


class _Wish(Model):
    right: Right
    expires_at: datetime | None = None


def share_job(job_id: str, grantee: str, right: Right, until: datetime | None = None) -> Call[Grant | None]:
    """Share a job; none means that the command is kept until the scheduler is back."""
    body = _Wish(right=right, expires_at=until).model_dump_json(exclude_none=True).encode()
    return Call("PUT", path_of(_JOBS, job_id, "grants", grantee), _read_grant, body=body, hold=5.0)


def unshare_job(job_id: str, grantee: str) -> Call[bool]:
    """Share a job no more; false means that the command is kept for later."""
    return Call("DELETE", path_of(_JOBS, job_id, "grants", grantee), _is_done, hold=5.0)


def list_job_grants(job_id: str, *, limit: int = 100, cursor: str | None = None) -> Call[GrantPage]:
    """List with whom a job is shared."""
    return Call("GET", path_of(_JOBS, job_id, "grants"), reads(GrantPage), params_of(limit=limit, cursor=cursor))


def share_folder(
    folder: str, grantee: str, right: Right, until: datetime | None = None, *, owner: str | None = None
) -> Call[Grant | None]:
    """Share a folder; none means that the command is kept until storage is back."""
    body = _Wish(right=right, expires_at=until).model_dump_json(exclude_none=True).encode()
    params = params_of(folder=folder, owner=owner)
    return Call("PUT", path_of(_FOLDERS, grantee), _read_grant, params, body=body, hold=5.0)


def unshare_folder(folder: str, grantee: str, *, owner: str | None = None) -> Call[bool]:
    """Share a folder no more; false means that the command is kept for later."""
    return Call("DELETE", path_of(_FOLDERS, grantee), _is_done, params_of(folder=folder, owner=owner), hold=5.0)


def list_folder_grants(
    folder: str | None = None, *, owner: str | None = None, limit: int = 100, cursor: str | None = None
) -> Call[GrantPage]:
    """List with whom a folder, or any, is shared."""
    params = params_of(folder=folder, owner=owner, limit=limit, cursor=cursor)
    return Call("GET", path_of(_FOLDERS), reads(GrantPage), params)


def list_shared(
    *, kind: Literal["job", "folder"] | None = None, limit: int = 100, cursor: str | None = None
) -> Call[GrantPage]:
    """List what others share with us."""
    return Call("GET", path_of("v1/shared"), reads(GrantPage), params_of(kind=kind, limit=limit, cursor=cursor))


def _read_grant(response: httpx.Response) -> Grant | None:
    return None if response.status_code == 202 else reads(Grant)(response)


def _is_done(response: httpx.Response) -> bool:
    return response.status_code != 202
