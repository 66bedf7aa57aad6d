"""What is said to slurmrestd and what it answers, as pure functions.

Version 0.0.38 is asked in its own words; 0.0.39 to 0.0.44 have common ones. What they answer is read in the words of
all of them: a number may be an object that says whether it is set, a state a list of a state and its flags.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .batch import Batch
from .nodes import Node, read_gpus
from .rows import Row

__all__ = ["job_of", "nodes_of", "number_of_job", "partitions_of", "rows_of", "told"]

_OUT = frozenset(
    {
        *("BLOCKED", "DRAIN", "FAIL", "INVALID", "INVALID_REG", "MAINT", "MAINTENANCE", "NOT_RESPONDING"),
        *("POWERING_DOWN", "POWER_DRAIN", "REBOOT", "REBOOT_ISSUED"),
    }
)
_NEWER = 39
"""The version with which the words changed."""

_IN = frozenset({"ALLOCATED", "COMPLETING", "IDLE", "MIXED", "PLANNED", "RESERVED"})


def job_of(batch: Batch, *, work: str, path: str, version: int) -> dict[str, object]:
    """Return the body of a submit."""
    options = batch.choices.options
    common: dict[str, object] = {
        "name": batch.name,
        "comment": batch.comment,
        "current_working_directory": work,
        "standard_output": "/dev/null",
        "standard_error": "/dev/null",
        "tasks": batch.processes,
        "tasks_per_node": batch.processes_per_node if batch.nodes > 1 else None,
        "cpus_per_task": batch.cpus,
        "nice": batch.nice,
        "partition": options.partition,
        "account": options.account,
        "qos": options.qos,
        "reservation": options.reservation,
        "constraints": options.constraint,
    }
    env = {"PATH": path} | dict(batch.env)
    own = _newer(batch, env) if version >= _NEWER else _older(batch, env)
    return {"script": batch.script, "job": {key: value for key, value in (common | own).items() if value is not None}}


def _older(batch: Batch, env: Mapping[str, str]) -> dict[str, object]:
    """Return what 0.0.38 calls by its own names; it cannot warn a batch script, nor forbid a requeue."""
    return {
        "environment": env,
        "nodes": [batch.nodes, batch.nodes],
        "memory_per_node": batch.memory,
        "time_limit": batch.minutes,
        "gres": batch.gres or None,
        "exclusive": "true" if batch.choices.options.exclusive else None,
    }


def _newer(batch: Batch, env: Mapping[str, str]) -> dict[str, object]:
    nodelist = batch.choices.options.nodelist
    return {
        "environment": [f"{name}={value}" for name, value in env.items()],
        "nodes": str(batch.nodes),
        "memory_per_node": batch.memory and _set(batch.memory),
        "time_limit": _set(batch.minutes),
        "tres_per_node": ",".join(f"gres/{word}" for word in batch.gres.split(",")) if batch.gres else None,
        "shared": ["none"] if batch.choices.options.exclusive else None,
        "required_nodes": [nodelist] if nodelist else None,
        "requeue": False,
        "kill_warning_signal": "TERM" if batch.warn else None,
        "kill_warning_delay": _set(batch.warn) if batch.warn else None,
        "kill_warning_flags": ["BATCH_JOB"] if batch.warn else None,
    }


def _set(number: int) -> dict[str, object]:
    return {"set": True, "infinite": False, "number": number}


def told(answer: Mapping[str, Any]) -> str:
    """Return the errors of an answer in its own words."""
    return "\n".join(_said(one) if isinstance(one, Mapping) else str(one) for one in answer.get("errors") or ())


def _said(one: Mapping[str, Any]) -> str:
    """Return both of what it says in general and what the controller said."""
    general, inner = str(one.get("description") or ""), str(one.get("error") or "")
    return general if inner in general else ": ".join(filter(None, (general, inner)))


def number_of_job(answer: Mapping[str, Any]) -> str:
    """Return the number of the job that was submitted, or nothing."""
    inner = answer.get("result")
    return str(
        _number(answer.get("job_id")) or (_number(inner.get("job_id")) if isinstance(inner, Mapping) else 0) or ""
    )


def rows_of(answer: Mapping[str, Any]) -> Iterator[Row]:
    """Read `/jobs`, of the controller or of the accounting."""
    for job in answer.get("jobs", ()):
        state = job.get("job_state") or (job.get("state") or {}).get("current", "")
        yield Row(
            job=str(_number(job["job_id"])),
            name=job.get("name") or "",
            state=_state(state),
            status=_status(job.get("exit_code")),
            restarts=_number(job.get("restart_cnt")),
            nodes=job.get("nodes") or "",
            reason=job.get("state_description") or job.get("state_reason") or "",
            comment=job["comment"] if isinstance(job.get("comment"), str) else "",
            submitted=_number(job.get("submit_time") or (job.get("time") or {}).get("submission")),
        )


def _state(word: str | list[str]) -> str:
    """Return one word; newer versions tell the flags of a state beside it."""
    words = [word] if isinstance(word, str) else word
    return "COMPLETING" if "COMPLETING" in words else (words[0] if words else "")


def _status(code: Any) -> int:
    """Return an exit code as `wait` does: 0.0.38 says it so, others in parts."""
    if not isinstance(code, Mapping):
        return int(code or 0)
    signal = code.get("signal") or {}
    return (_number(code.get("return_code")) << 8) | _number(signal.get("id", signal.get("signal_id")))


def _number(value: Any) -> int:
    """Return a number; 0 of one that is not set, or is infinite."""
    if isinstance(value, Mapping):
        value = value.get("number") if value.get("set", True) and not value.get("infinite") else 0
    return int(value or 0)


def partitions_of(answer: Mapping[str, Any]) -> dict[str, tuple[int | None, bool, str]]:
    """Read `/partitions`: the longest time in minutes, whether it is the default one, and its state."""
    found: dict[str, tuple[int | None, bool, str]] = {}
    for one in answer.get("partitions", ()):
        minutes = _number(one.get("max_time_limit", (one.get("maximums") or {}).get("time")))
        inner = one.get("partition") or {}
        state = one.get("state") or inner.get("state") or ""
        is_default = "default" in (one.get("flags") or ()) or "DEFAULT" in (one.get("flags") or ())
        found[one["name"]] = (minutes if minutes > 0 else None, is_default, _state(state))
    return found


def nodes_of(answer: Mapping[str, Any], partitions: Mapping[str, tuple[int | None, bool, str]]) -> Iterator[Node]:
    """Read `/nodes`: each node once for each of its partitions."""
    for one in answer.get("nodes", ()):
        for partition in one.get("partitions") or ():
            yield _node(one, partition, *partitions.get(partition, (None, False, "UP")))


def _node(one: Mapping[str, Any], partition: str, minutes: int | None, is_default: bool, available: str) -> Node:
    state = one.get("state") or ""
    words = {state} if isinstance(state, str) else set(state)
    words = {word.upper() for word in words | set(one.get("state_flags") or ())}
    is_up = available == "UP" and bool(words & _IN) and not words & _OUT
    cpus, used = _number(one.get("cpus")), _number(one.get("alloc_cpus"))
    memory = _number(one.get("real_memory"))
    return Node(
        name=one["name"],
        partition=partition,
        is_default=is_default,
        minutes=minutes,
        is_usable=is_up,
        state="+".join(sorted(words)).lower(),
        cpus=cpus,
        cpus_free=cpus - used if is_up and "RESERVED" not in words else 0,
        memory=memory,
        memory_free=max(0, memory - _number(one.get("alloc_memory"))),
        gpus=read_gpus(one.get("gres") or ""),
        gpus_used=sum(read_gpus(one.get("gres_used") or "").values()),
        reason=one.get("reason") or "",
    )
