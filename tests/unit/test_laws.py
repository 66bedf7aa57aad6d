"""The checker of the invariants finds each kind of damage: good evidence is doctored, and the right law must speak."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.laws import Evidence, FileSeen, Promise, Run, broken, usage_of

Event = Mapping[str, Any]
_ONE, _TWO = "job-" + "1" * 32, "job-" + "2" * 32
_BEGAN = datetime(2026, 11, 21, 12, tzinfo=UTC)
_SHA, _OTHER_SHA = "a" * 64, "b" * 64


def _event(job: str, owner: str, revision: int, seconds: float, new: str | None, **more: Any) -> dict[str, Any]:
    at = (_BEGAN + timedelta(seconds=seconds)).isoformat()
    data = {"workload_id": job, "owner": owner, "revision": revision, "at": at, "attempt": 1, "message": "", **more}
    data |= {"backend": "local", "exit_code": more.get("exit_code"), "reason": more.get("reason", "started")}
    kind = "accepted" if new is None else "moved"
    if new is not None:
        data["new"] = new
    return {"id": f"{job}-{revision}", "type": f"org.shunter.workload.{kind}.v1", "owner": owner, "data": data}


def _life(job: str, owner: str, end: str, exit_code: int) -> list[dict[str, Any]]:
    room = {"backend": "local", "cpus": 1.0}
    return [
        _event(job, owner, 1, 0.0, None, reason="submitted"),
        _event(job, owner, 2, 0.1, "queued", reason="placed"),
        _event(job, owner, 3, 1.0, "running", allocation=room),
        _event(job, owner, 4, 3.5, "finishing", reason="exited", usage={"wall_seconds": 2.5}, exit_code=exit_code),
        _event(job, owner, 5, 4.0, end, reason="exited", exit_code=exit_code),
    ]


def _record(events: Sequence[Event], job: str) -> dict[str, Any]:
    last = [event["data"] for event in events if event["data"]["workload_id"] == job][-1]
    names = ("attempt", "reason", "message", "backend", "exit_code", "revision", "owner")
    return {name: last[name] for name in names} | {"state": last["new"]}


def _good() -> Evidence:
    events = _life(_ONE, "owner", "succeeded", 0) + _life(_TWO, "other", "failed", 3)
    return Evidence(
        events=events,
        records={job: _record(events, job) for job in (_ONE, _TWO)},
        promises=[
            Promise(_ONE, "owner", frozenset({"succeeded"}), output=b"done\n", once=True),
            Promise(_TWO, "other", frozenset({"failed"})),
        ],
        listed={"owner": [_ONE], "other": [_TWO]},
        owners_told={"owner": ["owner"], "other": ["other"]},
        runs=[Run(job, 1, what) for job in (_ONE, _TWO) for what in ("begin", "end")],
        outputs={_ONE: b"done\n"},
        files=[FileSeen("owner", "a.bin", _SHA, _SHA, frozenset({_SHA}))],
        billed=usage_of(events),
        settled=1.0,
    )


def _event_again(seen: Evidence) -> Evidence:
    return replace(seen, events=[*seen.events, seen.events[1]])


def _event_lost(seen: Evidence) -> Evidence:
    return replace(seen, events=[event for event in seen.events if event["id"] != f"{_ONE}-3"])


def _events_swapped(seen: Evidence) -> Evidence:
    events = list(seen.events)
    events[1], events[2] = events[2], events[1]
    return replace(seen, events=events)


def _told(revision: int, **changes: Any) -> Callable[[Evidence], Evidence]:
    """Change what the log says of the first job."""

    def doctor(seen: Evidence) -> Evidence:
        events = [dict(event) for event in copy.deepcopy(list(seen.events))]
        for event in events:
            if event["id"] == f"{_ONE}-{revision}":
                event["data"] |= changes
        return replace(seen, events=events)

    return doctor


def _then(*, new: str, revision: int = 6, **more: Any) -> Callable[[Evidence], Evidence]:
    """Tell one more move of the first job, with the record made to match."""

    def doctor(seen: Evidence) -> Evidence:
        events = [*seen.events, _event(_ONE, "owner", revision, 9.0, new, **more)]
        return replace(seen, events=events, records={**seen.records, _ONE: _record(events, _ONE)})

    return doctor


def _recorded(**changes: Any) -> Callable[[Evidence], Evidence]:
    return lambda seen: replace(seen, records={**seen.records, _ONE: {**seen.records[_ONE], **changes}})


def _with(**changes: Any) -> Callable[[Evidence], Evidence]:
    return lambda seen: replace(seen, **changes)


def _run_again(seen: Evidence) -> Evidence:
    return replace(seen, runs=[*seen.runs, Run(_ONE, 1, "begin")])


def _finished_again(seen: Evidence) -> Evidence:
    return replace(seen, runs=[*seen.runs, Run(_ONE, 2, "begin"), Run(_ONE, 2, "end")])


def _queued_after_its_exit(seen: Evidence) -> Evidence:
    events = [*seen.events[:4], _event(_ONE, "owner", 5, 4.0, "queued", reason="retry"), *seen.events[5:]]
    return replace(seen, events=events)


_DAMAGE: dict[str, tuple[str, Callable[[Evidence], Evidence]]] = {
    "a promised job that was never accepted": ("I1", lambda seen: replace(seen, events=seen.events[5:])),
    "a job that was accepted twice": ("I1", lambda seen: replace(seen, events=[*seen.events, seen.events[0]])),
    "a job that nobody was promised": ("I1", lambda seen: replace(seen, promises=seen.promises[:1])),
    "a job that is not in the list": ("I1", _with(listed={"owner": [], "other": [_TWO]})),
    "a job that is in the list twice": ("I1", _with(listed={"owner": [_ONE, _ONE], "other": [_TWO]})),
    "a wrong end": ("I2", lambda seen: replace(seen, promises=[Promise(_ONE, "owner", frozenset({"canceled"}))])),
    "a second end": ("I2", _then(new="failed")),
    "a move that the table does not have": ("I2", _told(3, new="succeeded")),
    "an attempt that was run twice": ("I3", _run_again),
    "a program that came to its end twice": ("I3", _finished_again),
    "a program that never came to its end": ("I3", _with(runs=[Run(_ONE, 1, "begin")])),
    "a process that outlives its job": ("I3", _with(alive=[(_ONE, 1)])),
    "a job that is run again after its exit was told": ("I3", _queued_after_its_exit),
    "room that was taken and not given back": ("I4", _told(4, usage=None)),
    "room that was given back twice": ("I4", _told(5, usage={"wall_seconds": 2.5})),
    "room that was taken twice": ("I4", _told(4, allocation={"backend": "local"})),
    "a bill that is too high": ("I4", lambda seen: replace(seen, billed={**usage_of(seen.events), "owner": 1.0})),
    "a bill for nothing": ("I4", lambda seen: replace(seen, billed={**usage_of(seen.events), "low": 0.1})),
    "no bill": ("I4", _with(billed={})),
    "a replay that differs": ("I4", _with(replay_equal=False, differences=["owner: 1 != 2"])),
    "an event twice": ("I6", _event_again),
    "an event that is lost": ("I6", _event_lost),
    "events out of order": ("I6", _events_swapped),
    "a record that is not the log": ("I6", _recorded(exit_code=1)),
    "a record that is behind the log": ("I6", _recorded(revision=4)),
    "no record": ("I6", lambda seen: replace(seen, records={_TWO: seen.records[_TWO]})),
    "bytes that are not what the record says": (
        "I7",
        _with(files=[FileSeen("owner", "a.bin", _SHA, _OTHER_SHA, frozenset())]),
    ),
    "bytes that nobody sent": (
        "I7",
        _with(files=[FileSeen("owner", "a.bin", _OTHER_SHA, _OTHER_SHA, frozenset({_SHA}))]),
    ),
    "an output with a line lost": ("I7", _with(outputs={_ONE: b""})),
    "a stranger who reads a job": ("I8", _with(strangers=["other got 200 for owner's job"])),
    "a stranger's list": ("I8", _with(listed={"owner": [_ONE], "other": [_TWO, _ONE]})),
    "events of somebody else": ("I8", _with(owners_told={"other": ["other", "owner"]})),
    "no rest": ("I10", _with(settled=61.0)),
    "a job that has not ended": ("I10", _recorded(state="running")),
}


def test_good_evidence_breaks_no_law() -> None:
    assert broken(_good()) == []


@pytest.mark.parametrize("damage", _DAMAGE)
def test_each_kind_of_damage_is_found_by_its_law(damage: str) -> None:
    law, doctor = _DAMAGE[damage]
    found = broken(doctor(_good()))
    assert any(said.startswith(f"{law}:") for said in found), found


def test_usage_is_the_time_between_the_moves() -> None:
    assert usage_of(_good().events) == pytest.approx({"owner": 2.5 / 3600, "other": 2.5 / 3600})
