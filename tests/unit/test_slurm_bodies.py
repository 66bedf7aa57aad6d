"""What is said to slurmrestd and what it answers, in the words of 0.0.38 and of what came after it: pure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.scheduler.backends.engines.base import Launch, Order
from services.scheduler.backends.engines.slurm.batch import Batch, Limits, batches_of
from services.scheduler.backends.engines.slurm.bodies import job_of, nodes_of, partitions_of, rows_of, told
from services.scheduler.backends.engines.slurm.choices import choose
from services.scheduler.backends.engines.slurm.settings import SlurmSettings

_SETTINGS = SlurmSettings(work="/shared/shunter")
_LIMITS = Limits(site="s1", last_words=60, over_time=0, largest_array=1001, partitions={"": None})

_OLDER, _NEWER = 38, 39


def _set(number: int) -> dict[str, Any]:
    return {"set": True, "infinite": False, "number": number}


def _batch(**more: Any) -> Batch:
    launch = Launch("#!/bin/sh\nexec pilot\n", {"SHUNTER_PILOT_NAME": "s1-a-1", "SHUNTER_PILOT_TOKEN": "t"}, Path("/p"))
    order = Order("s1-a-1", "ada", "lab", "train", launch, cpus=1.5, memory=2**30, gpus=0, walltime=600)
    order = replace(order, **more)
    (batch,) = batches_of([(order, choose(order, _SETTINGS))], _LIMITS)
    return batch


def _job(batch: Batch, *, version: int) -> dict[str, Any]:
    body = job_of(batch, work="/shared/shunter", path="/usr/bin", version=version)
    assert body["script"] == batch.script
    job = body["job"]
    assert isinstance(job, dict)
    return job


@pytest.mark.parametrize("version", [_OLDER, _NEWER])
def test_a_job_says_what_both_know_in_the_same_words(*, version: int) -> None:
    job = _job(_batch(options={"partition": "gpu", "qos": "high", "account": "lab"}), version=version)
    assert (job["name"], job["tasks"], job["cpus_per_task"]) == ("s1-a-1", 1, 2)
    assert (job["partition"], job["qos"], job["account"]) == ("gpu", "high", "lab")
    assert job["standard_output"] == job["standard_error"] == "/dev/null"
    assert "tasks_per_node" not in job
    assert None not in job.values()  # what is null is another thing to some versions than what is not said


@pytest.mark.parametrize("version", [_OLDER, _NEWER])
def test_a_gang_says_how_many_processes_a_node_has(*, version: int) -> None:
    job = _job(_batch(nodes=2, processes=5), version=version)
    assert (job["tasks"], job["tasks_per_node"]) == (5, 3)
    assert job["nodes"] == ("2" if version == _NEWER else [2, 2])


def test_the_older_one_takes_plain_numbers() -> None:
    job = _job(_batch(gpus=2, gpu_model="a100", options={"exclusive": True}), version=_OLDER)
    assert (job["memory_per_node"], job["time_limit"], job["gres"]) == (1024, 12, "gpu:a100:2")
    assert job["environment"] == {"PATH": "/usr/bin", "SHUNTER_PILOT_NAME": "s1-a-1", "SHUNTER_PILOT_TOKEN": "t"}
    assert job["exclusive"] == "true"
    assert not {"requeue", "tres_per_node", "kill_warning_signal"} & job.keys()


def test_the_newer_one_takes_numbers_that_say_that_they_are_set_and_warns() -> None:
    job = _job(_batch(gpus=2, gpu_model="a100", options={"nodelist": "n[1-2]", "gres": "nvme:1"}), version=_NEWER)
    assert job["memory_per_node"] == _set(1024)
    assert job["time_limit"] == _set(12)
    assert job["tres_per_node"] == "gres/gpu:a100:2,gres/nvme:1"
    assert "SHUNTER_PILOT_TOKEN=t" in job["environment"]
    assert (job["required_nodes"], job["requeue"]) == (["n[1-2]"], False)
    assert (job["kill_warning_signal"], job["kill_warning_flags"]) == ("TERM", ["BATCH_JOB"])
    assert job["kill_warning_delay"] == _set(60)


def test_no_memory_is_not_said() -> None:
    assert "memory_per_node" not in _job(_batch(memory=None), version=_OLDER)
    assert "memory_per_node" not in _job(_batch(memory=None), version=_NEWER)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({}, ""),
        ({"errors": []}, ""),
        ({"errors": [{"error": "no such partition"}]}, "no such partition"),
        ({"errors": [{"description": "first", "error": "x"}, {"error": "second"}]}, "first: x\nsecond"),
    ],
)
def test_errors_are_told_in_their_own_words(answer: dict[str, Any], expected: str) -> None:
    assert told(answer) == expected


@pytest.mark.parametrize(
    ("job", "state", "status"),
    [
        ({"job_state": "RUNNING"}, "RUNNING", 0),
        ({"job_state": ["CANCELLED", "COMPLETING"]}, "COMPLETING", 0),
        ({"job_state": []}, "", 0),
        ({"job_state": "FAILED", "exit_code": 3 << 8}, "FAILED", 3 << 8),
        (
            {"state": {"current": "TIMEOUT"}, "exit_code": {"return_code": 0, "signal": {"signal_id": 15}}},
            "TIMEOUT",
            15,
        ),
        (
            {"job_state": ["FAILED"], "exit_code": {"return_code": {"set": True, "number": 2}, "signal": {"id": None}}},
            "FAILED",
            2 << 8,
        ),
    ],
)
def test_jobs_are_read_from_the_controller_and_from_the_accounting(
    job: dict[str, Any], state: str, status: int
) -> None:
    (row,) = rows_of({"jobs": [{"job_id": 7, "name": "s1-a-1", **job}]})
    assert (row.job, row.name, row.state, row.status) == ("7", "s1-a-1", state, status)


def test_a_comment_that_is_no_text_is_none() -> None:
    (row,) = rows_of({"jobs": [{"job_id": 7, "comment": {"job": "x"}, "restart_cnt": None, "nodes": None}]})
    assert (row.comment, row.restarts, row.nodes) == ("", 0, "")


def test_partitions_say_their_longest_time_in_the_words_of_both() -> None:
    older = {"name": "short", "max_time_limit": 10, "flags": ["default"], "state": "UP"}
    newer = {"name": "long", "maximums": {"time": {"set": True, "number": 90}}, "partition": {"state": ["UP"]}}
    endless = {"name": "endless", "maximums": {"time": {"set": False, "infinite": True}}, "partition": {"state": []}}
    assert partitions_of({"partitions": [older, newer, endless]}) == {
        "short": (10, True, "UP"),
        "long": (90, False, "UP"),
        "endless": (None, False, ""),
    }


_NODE = {"name": "n1", "partitions": ["short"], "cpus": 8, "alloc_cpus": 3, "real_memory": 1000, "alloc_memory": 400}


@pytest.mark.parametrize(
    ("state", "is_usable", "free"),
    [
        ("idle", True, 5),
        (["MIXED", "RESERVED"], True, 0),
        (["IDLE", "DRAIN"], False, 0),
        ("down", False, 0),
        ("", False, 0),
    ],
)
def test_only_what_is_up_has_room(state: Any, *, is_usable: bool, free: int) -> None:
    (node,) = nodes_of({"nodes": [{**_NODE, "state": state}]}, {"short": (10, True, "UP")})
    assert (node.is_usable, node.cpus_free, node.memory_free) == (is_usable, free, 600)
    assert (node.partition, node.minutes, node.is_default) == ("short", 10, True)


def test_a_node_of_a_partition_that_is_down_takes_nothing() -> None:
    node = {**_NODE, "state": ["IDLE"], "gres": "gpu:a100:2", "gres_used": "gpu:a100:1(IDX:0)"}
    (found,) = nodes_of({"nodes": [node]}, {"short": (None, False, "DOWN")})
    assert (found.is_usable, found.cpus_free, dict(found.gpus), found.gpus_used) == (False, 0, {"a100": 2}, 1)
