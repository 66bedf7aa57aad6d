"""Calls about schedules."""

from __future__ import annotations

import httpx

from contracts.ids import message_id
from contracts.schedules import Schedule, ScheduleRun, ScheduleSpec
from shunter.models import ScheduleList

from .call import Call, params_of, path_of, reads

__all__ = [
    "create_schedule",
    "delete_schedule",
    "get_schedule",
    "list_schedules",
    "pause_schedule",
    "replace_schedule",
    "resume_schedule",
    "trigger_schedule",
]

_SCHEDULES = "v1/schedules"


def create_schedule(spec: ScheduleSpec, *, key: str | None = None) -> Call[Schedule | None]:
    """Make a schedule; the key makes a second sending harmless. None: the command is kept until later."""
    headers = {"Idempotency-Key": key or message_id()}
    return Call("POST", path_of(_SCHEDULES), _read_or_pending, headers=headers, body=_json(spec), hold=5.0)


def replace_schedule(schedule_id: str, spec: ScheduleSpec, *, revision: int | None = None) -> Call[Schedule | None]:
    """Let a schedule be another one, if it still has this *revision*."""
    headers = {"If-Match": f'"{revision}"'} if revision is not None else {}
    path = path_of(_SCHEDULES, schedule_id)
    return Call("PUT", path, _read_or_pending, headers=headers, body=_json(spec), repeatable=revision is None, hold=5.0)


def list_schedules(
    *, name: str | None = None, owner: str | None = None, limit: int = 50, cursor: str | None = None
) -> Call[ScheduleList]:
    """List a page of schedules, newest first."""
    params = params_of(name=name, owner=owner, limit=limit, cursor=cursor)
    return Call("GET", path_of(_SCHEDULES), reads(ScheduleList), params)


def get_schedule(schedule_id: str) -> Call[Schedule]:
    """Get one schedule."""
    return Call("GET", path_of(_SCHEDULES, schedule_id), reads(Schedule))


def pause_schedule(schedule_id: str) -> Call[Schedule | None]:
    """Make no more jobs for now."""
    return Call("POST", path_of(_SCHEDULES, schedule_id, "pause"), _read_or_pending, hold=5.0)


def resume_schedule(schedule_id: str) -> Call[Schedule | None]:
    """Go on making jobs."""
    return Call("POST", path_of(_SCHEDULES, schedule_id, "resume"), _read_or_pending, hold=5.0)


def trigger_schedule(schedule_id: str) -> Call[ScheduleRun | None]:
    """Make one job now; sent twice it makes two."""
    path = path_of(_SCHEDULES, schedule_id, "trigger")
    return Call("POST", path, _read_run_or_pending, repeatable=False, hold=5.0)


def delete_schedule(schedule_id: str) -> Call[bool]:
    """Make no more jobs, ever; false means that the command is kept until later."""
    return Call("DELETE", path_of(_SCHEDULES, schedule_id), lambda response: response.status_code != 202, hold=5.0)


def _read_or_pending(response: httpx.Response) -> Schedule | None:
    return None if response.status_code == 202 else reads(Schedule)(response)


def _read_run_or_pending(response: httpx.Response) -> ScheduleRun | None:
    return None if response.status_code == 202 else reads(ScheduleRun)(response)


def _json(spec: ScheduleSpec) -> bytes:
    return spec.model_dump_json(exclude_unset=True).encode()
