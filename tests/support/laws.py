"""The invariants I1 to I10 as pure functions over what was seen; each returns sentences that name what is broken."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from contracts.states import TERMINAL, WorkloadState, may_move

__all__ = ["Evidence", "FileSeen", "Promise", "Run", "broken", "by_job", "usage_of"]

_LIFE = ("org.shunter.workload.accepted.", "org.shunter.workload.moved.")
_ENDS = {state.value for state in TERMINAL}
_REMOVED = "org.shunter.workload.removed."

Event = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Promise:
    """A submit that was answered with 2xx, and how its job may end."""

    job: str
    owner: str
    ends: frozenset[str]
    output: bytes | None = None
    """What its standard output is if it succeeds."""
    once: bool = False
    """Whether its program may come to its end only once, for nobody asked for a repeat."""


@dataclass(frozen=True, slots=True)
class Run:
    """A line of the witness, which programs write themselves: an attempt began or came to its end."""

    job: str
    attempt: int
    what: str


@dataclass(frozen=True, slots=True)
class FileSeen:
    """A file as it was read back."""

    owner: str
    path: str
    recorded: str
    """The sha256 that the record says."""
    found: str
    """The sha256 of the bytes."""
    wanted: frozenset[str]
    """What it may be: the sha256 of what was sent; empty if nobody knows."""


@dataclass(slots=True)
class Evidence:
    """What was seen of a stack that has come to rest."""

    events: Sequence[Event] = ()
    """CloudEvents, in the order of the log."""
    records: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The record of each job that the events name."""
    promises: Sequence[Promise] = ()
    listed: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """For each user, the ids in the list of jobs."""
    strangers: Sequence[str] = ()
    """What a user got to see of somebody else's, in words."""
    owners_told: Mapping[str, Sequence[str | None]] = field(default_factory=dict)
    """For each user, the owners of the events that were shown."""
    runs: Sequence[Run] = ()
    alive: Sequence[tuple[str, int]] = ()
    """Attempts of which a process lives."""
    outputs: Mapping[str, bytes] = field(default_factory=dict)
    """The standard output of succeeded jobs."""
    files: Sequence[FileSeen] = ()
    billed: Mapping[str, float] | None = None
    """Wall hours by owner, as accounting says."""
    replay_equal: bool = True
    differences: Sequence[str] = ()
    settled: float = 0.0
    """Seconds from the end of the faults until all was at rest."""
    settle_limit: float = 60.0


def broken(seen: Evidence) -> list[str]:
    """Return what is broken; an empty list means that every invariant holds."""
    laws = (_one_job_each, _one_end, _one_process, _billing, _one_log, _bytes, _walls, _rest)
    return [said for law in laws for said in law(seen)]


def by_job(events: Sequence[Event]) -> dict[str, list[Mapping[str, Any]]]:
    """Return what was told of each job's moves, in the order of its revisions."""
    jobs: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for event in events:
        if event["type"].startswith(_LIFE):
            jobs[event["data"]["workload_id"]].append(event["data"])
    return {job: sorted(told, key=lambda data: data["revision"]) for job, told in jobs.items()}


# --- I1 -------------------------------------------------------------------------------------------------------------


def _one_job_each(seen: Evidence) -> Iterator[str]:
    accepted = Counter(event["data"]["workload_id"] for event in seen.events if event["type"].startswith(_LIFE[0]))
    listed = {owner: Counter(ids) for owner, ids in seen.listed.items()}
    for promise in seen.promises:
        if (count := accepted[promise.job]) != 1:
            yield f"I1: {promise.job} was promised and accepted {count} times"
        if promise.owner in listed and (count := listed[promise.owner][promise.job]) != 1:
            yield f"I1: {promise.job} is {count} times in the list of {promise.owner}"
    if seen.promises:
        for stray in set(accepted) - {promise.job for promise in seen.promises}:
            yield f"I1: {stray} was accepted, and nobody was told"


# --- I2 -------------------------------------------------------------------------------------------------------------


def _states(told: Sequence[Mapping[str, Any]]) -> list[WorkloadState]:
    return [WorkloadState(data["new"]) if "new" in data else WorkloadState.ACCEPTED for data in told]


def _one_end(seen: Evidence) -> Iterator[str]:
    jobs = by_job(seen.events)
    for job, told in jobs.items():
        states = _states(told)
        for old, new in itertools.pairwise(states):
            if not may_move(old, new):
                yield f"I2: {job} went from {old} to {new}"
        if (ends := sum(state in TERMINAL for state in states)) > 1:
            yield f"I2: {job} ended {ends} times"
    for promise in seen.promises:
        record = seen.records.get(promise.job)
        state = record["state"] if record else "nowhere"
        if state not in promise.ends:
            why = f" ({record['reason']}: {record['message']})" if record else ""
            yield f"I2: {promise.job} is {state}{why}, not {' or '.join(sorted(promise.ends))}"


# --- I3 -------------------------------------------------------------------------------------------------------------


def _one_process(seen: Evidence) -> Iterator[str]:
    begun = Counter((run.job, run.attempt) for run in seen.runs if run.what == "begin")
    for (job, attempt), count in begun.items():
        if count > 1:
            yield f"I3: attempt {attempt} of {job} was run {count} times"
    finished = Counter(run.job for run in seen.runs if run.what == "end")
    for promise in seen.promises:
        if promise.once and finished[promise.job] > 1:
            yield f"I3: {promise.job} came to its end {finished[promise.job]} times"
        if promise.once and promise.ends == {"succeeded"} and seen.runs and not finished[promise.job]:
            yield f"I3: {promise.job} never came to its end"
    for (job, attempt), count in Counter(seen.alive).items():
        if job in seen.records and seen.records[job]["state"] in _ENDS:
            yield f"I3: attempt {attempt} of {job} still runs, in {count} processes"
    yield from _repeats(seen)


def _repeats(seen: Evidence) -> Iterator[str]:
    """A job whose good end was told is not run again."""
    once = {promise.job for promise in seen.promises if promise.once}
    for job, told in by_job(seen.events).items():
        for before, after in itertools.pairwise(told):
            done = before.get("new") == "finishing" and before.get("exit_code") == 0 and before["reason"] == "exited"
            if job in once and done and after["new"] == "queued":
                yield f"I3: {job} was queued again after its exit was told: {after['message']}"


# --- I4 -------------------------------------------------------------------------------------------------------------


def usage_of(events: Sequence[Event]) -> dict[str, float]:
    """Return wall hours by owner, counted from the moves alone and by other code than accounting's."""
    hours: dict[str, float] = defaultdict(float)
    for told in by_job(events).values():
        began: dict[int, float] = {}
        for data in told:
            moment = datetime.fromisoformat(data["at"]).timestamp() if "at" in data else 0.0
            if data.get("allocation"):
                began.setdefault(data["attempt"], moment)
            if data.get("usage") and data["attempt"] in began:
                same = bool(data.get("allocation"))
                held = data["usage"]["wall_seconds"] if same else moment - began[data["attempt"]]
                hours[data["owner"]] += held / 3600
    return dict(hours)


def _billing(seen: Evidence) -> Iterator[str]:
    for job, told in by_job(seen.events).items():
        opened = [data["attempt"] for data in told if data.get("allocation")]
        closed = [data["attempt"] for data in told if data.get("usage")]
        if len(set(opened)) != len(opened):
            yield f"I4: an attempt of {job} took room twice: {opened}"
        if len(set(closed)) != len(closed):
            yield f"I4: an attempt of {job} gave room back twice: {closed}"
        if told[-1].get("new") in _ENDS and opened != closed:
            yield f"I4: {job} took room in {opened} and gave it back in {closed}"
    if not seen.replay_equal:
        yield f"I4: the ledger is not what the log says: {list(seen.differences)[:5]}"
    if seen.billed is not None:
        counted = usage_of(seen.events)
        for owner in sorted(set(counted) | set(seen.billed)):
            ours, theirs = counted.get(owner, 0.0), seen.billed.get(owner, 0.0)
            if abs(ours - theirs) > 1e-6 + ours * 1e-6:
                yield f"I4: {owner} held room for {ours * 3600:.6f} s and is billed {theirs * 3600:.6f} s"


# --- I6 -------------------------------------------------------------------------------------------------------------


def _one_log(seen: Evidence) -> Iterator[str]:
    for event_id, count in Counter(event["id"] for event in seen.events).items():
        if count > 1:
            yield f"I6: the event {event_id} is in the log {count} times"
    removed = {event["data"]["workload_id"] for event in seen.events if event["type"].startswith(_REMOVED)}
    for job, told in by_job(seen.events).items():
        revisions = [data["revision"] for data in told]
        if revisions != list(range(1, len(told) + 1)):
            yield f"I6: the log of {job} has gaps or doubles: {revisions}"
        record = seen.records.get(job)
        if record is None and job in removed:
            continue
        if record is None:
            yield f"I6: {job} is in the log, and has no record"
        else:
            yield from _fold(job, told[-1], record)
    order = {job: [data["revision"] for data in found] for job, found in _in_log_order(seen.events).items()}
    for job, found in order.items():
        if found != sorted(found):
            yield f"I6: the log tells the moves of {job} out of their order: {found}"


def _in_log_order(events: Sequence[Event]) -> dict[str, list[Mapping[str, Any]]]:
    jobs: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for event in events:
        if event["type"].startswith(_LIFE):
            jobs[event["data"]["workload_id"]].append(event["data"])
    return jobs


def _fold(job: str, last: Mapping[str, Any], record: Mapping[str, Any]) -> Iterator[str]:
    told = {"revision": last["revision"], "state": last.get("new", "accepted")}
    if "new" in last:
        told |= {name: last.get(name) for name in ("attempt", "reason", "message", "backend", "exit_code")}
    for name, value in told.items():
        if record.get(name) != value:
            yield f"I6: {job}: {name} is {record.get(name)!r} in the record and {value!r} in the log"


# --- I7 -------------------------------------------------------------------------------------------------------------


def _bytes(seen: Evidence) -> Iterator[str]:
    for file in seen.files:
        if file.recorded != file.found:
            yield f"I7: {file.owner}'s {file.path} is recorded as {file.recorded[:12]} and holds {file.found[:12]}"
        elif file.wanted and file.found not in file.wanted:
            yield f"I7: {file.owner}'s {file.path} does not hold what was sent"
    for promise in seen.promises:
        if promise.output is None or seen.records.get(promise.job, {}).get("state") != "succeeded":
            continue
        if (found := seen.outputs.get(promise.job)) is not None and found != promise.output:
            yield f"I7: the log of {promise.job} is {found[:80]!r}, not {promise.output[:80]!r}"


# --- I8 -------------------------------------------------------------------------------------------------------------


def _walls(seen: Evidence) -> Iterator[str]:
    yield from (f"I8: {said}" for said in seen.strangers)
    of = {promise.job: promise.owner for promise in seen.promises}
    for user, ids in seen.listed.items():
        for job in ids:
            if of.get(job, user) != user:
                yield f"I8: {user} sees {of[job]}'s {job} in the list"
    for user, owners in seen.owners_told.items():
        for owner in {owner for owner in owners if owner != user}:
            yield f"I8: {user} is told events of {owner}"


# --- I10 ------------------------------------------------------------------------------------------------------------


def _rest(seen: Evidence) -> Iterator[str]:
    if seen.settled > seen.settle_limit:
        yield f"I10: {seen.settled:.1f} s until all was at rest, more than {seen.settle_limit:g} s"
    for promise in seen.promises:
        if seen.records.get(promise.job, {}).get("state") not in _ENDS:
            yield f"I10: {promise.job} has not ended"
