"""What is asked of Ray, and what its answers mean; nobody is asked."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from contracts.errors import InvalidError, RefusedError
from contracts.states import Reason
from services.scheduler.backends.engines.base import Launch, NativeState, Order
from services.scheduler.backends.engines.ray.answers import STATUS, RayDemand, RayJob, RayNode
from services.scheduler.backends.engines.ray.entry import entry_point, sealed_env
from services.scheduler.backends.engines.ray.gpus import GpuDemand, GpuKinds
from services.scheduler.backends.engines.ray.orders import build, options_of
from services.scheduler.backends.engines.ray.room import Room
from services.scheduler.backends.engines.ray.settings import GpuModel, RaySettings
from services.scheduler.backends.engines.ray.sight import see
from services.scheduler.backends.engines.ray.sweep import is_sweep, sweep
from tests.support.ray_jobs import order

_SETTINGS = RaySettings(stop_within=7)
_NOTHING: dict[str, str] = {}


def _request(made: Order, demand: GpuDemand | None = None) -> dict[str, Any]:
    return build(made, options_of(made), demand or GpuDemand(), _SETTINGS)


# --- requests -------------------------------------------------------------------------------------------------------


def test_a_plain_job_asks_for_its_cores_and_for_nothing_that_older_versions_do_not_know() -> None:
    request = _request(order("s-1", "true", {"SHUNTER_PILOT_TOKEN": "quite-secret"}, cpus=0.123456, title="a title"))
    assert request.pop("metadata").keys() == {"job_name", "shunter"}
    assert request.pop("entrypoint").endswith("true")
    assert request == {
        "submission_id": "s-1",
        "runtime_env": {"env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": "7"}},
        "entrypoint_num_cpus": 0.1235,
    }


def test_all_that_ray_has_is_asked_for() -> None:
    options = {
        "gpu_fraction": 0.25,
        "resources": {"A100": 0.5, "licence": 2},
        "labels": {"ray.io/zone": "in(a, b)", "spot": "!true"},
        "runtime_env": {"env_vars": {"A": "b", "RAY_JOB_STOP_WAIT_TIME_S": "9999"}, "pip": ["numpy"]},
    }
    demand = GpuDemand({"A100": 1}, {"gpu-type": "A100"})
    request = _request(order("s-1", "true", gpus=1, memory=2**30, options=options), demand)
    assert request["entrypoint_num_gpus"] == 0.25
    assert request["entrypoint_memory"] == 2**30
    assert request["entrypoint_resources"] == {"A100": 1, "licence": 2}
    assert request["entrypoint_label_selector"] == {"gpu-type": "A100", "ray.io/zone": "in(a, b)", "spot": "!true"}
    assert request["runtime_env"] == {"env_vars": {"A": "b", "RAY_JOB_STOP_WAIT_TIME_S": "7"}, "pip": ["numpy"]}


@pytest.mark.parametrize(
    "options",
    [
        {"unknown": 1},
        {"gpu_fraction": 1},
        {"gpu_fraction": 0.00001},
        {"resources": {"GPU": 1}},
        {"resources": {"A100": 0}},
        {"labels": {"-x": "y"}},
        {"labels": {"x": "in()"}},
        {"runtime_env": {"working_dir": "/etc"}},
        {"runtime_env": {"working_dir": "file:///etc/x.zip"}},
        {"runtime_env": {"py_modules": ["local:///x"]}},
        {"runtime_env": {"conda": "../env.yaml"}},
        {"runtime_env": {"pip": "requirements.txt"}},
        {"runtime_env": {"pip": ["a"], "conda": "b"}},
        {"runtime_env": {"env_vars": {"A B": "c"}}},
        {"runtime_env": {"container": {"image": "x"}}},
    ],
)
def test_options_that_cannot_be_are_refused_with_their_place(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidError, match=r"^placement\.options\.ray\."):
        options_of(order("s-1", "true", options=options))


@pytest.mark.parametrize(
    "wanted",
    [
        {"image": "debian"},
        {"gpus": 2, "options": {"gpu_fraction": 0.5}},
        {"options": {"gpu_fraction": 0.5}},
    ],
)
def test_what_ray_cannot_do_is_refused(wanted: dict[str, Any]) -> None:
    with pytest.raises(RefusedError):
        _request(order("s-1", "true", **wanted))


def test_several_nodes_are_refused_with_the_field() -> None:
    with pytest.raises(InvalidError, match=r"^resources\.nodes: "):
        _request(order("s-1", "true", nodes=2))


def test_the_line_reads_its_environment_out_of_the_metadata_and_empties_them() -> None:
    launch = Launch('printf "%s|" "$WORD" "$OTHER"; printf %s "$RAY_JOB_CONFIG_JSON_ENV_VAR"', _ODD, Path("/nowhere"))
    config: dict[str, Any] = {
        "runtime_env": {"env_vars": {"a": 'b"c'}},
        "metadata": {"job_name": 'x "y"', "shunter": sealed_env(launch)},
    }
    line = entry_point(launch)
    assert not any(value in line for value in _ODD.values())
    env = {"PATH": "/usr/bin:/bin", "RAY_JOB_CONFIG_JSON_ENV_VAR": json.dumps(config)}
    told = subprocess.run(["/bin/sh", "-c", line], env=env, capture_output=True, check=True, text=True)
    word, other, rest = told.stdout.split("|", 2)
    assert {"WORD": word, "OTHER": other} == _ODD
    config["metadata"]["shunter"] = ""
    assert json.loads(rest) == config
    assert not told.stderr


_ODD = {"WORD": 'it\'s "odd" $HOME `x`\n\\and more', "OTHER": "other-word"}


def test_a_sweep_is_no_native_job_of_any_site() -> None:
    request = sweep(["s-1", "s-2"], "s", _SETTINGS)
    name = request["submission_id"]
    assert is_sweep(RayJob(submission_id=name), "s")
    assert not is_sweep(RayJob(submission_id=name), "other")
    assert not name.startswith("s-")
    assert json.loads(base64.b64decode(request["entrypoint"].split()[-1])) == ["s-1", "s-2"]


def test_settings_that_do_not_go_together_are_refused() -> None:
    wrongs: tuple[dict[str, Any], ...] = (
        {"certificate": "x.pem"},
        {"gpu_models": {"A100": {}}},
        {"adress": "http://x"},
    )
    for wrong in wrongs:
        with pytest.raises(ValidationError):
            RaySettings.model_validate(wrong)


# --- endings --------------------------------------------------------------------------------------------------------

_ENV = {"env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": "7"}}


@pytest.mark.parametrize(
    ("said", "ending", "code"),
    [
        ({"status": "SUCCEEDED"}, None, 0),
        ({"status": "STOPPED"}, Reason.CANCELED, None),
        ({"error_type": "JOB_ENTRYPOINT_COMMAND_ERROR", "driver_exit_code": 91}, None, 91),
        ({"error_type": "JOB_ENTRYPOINT_COMMAND_ERROR", "driver_exit_code": -9}, None, 137),
        ({"error_type": "JOB_SUPERVISOR_ACTOR_DIED"}, Reason.LOST, None),
        (
            {"error_type": "JOB_SUPERVISOR_ACTOR_DIED", "message": "the node running low on memory."},
            Reason.MEMORY,
            None,
        ),
        ({"error_type": "JOB_SUPERVISOR_ACTOR_START_TIMEOUT"}, Reason.INTERRUPTED, None),
        ({"error_type": "JOB_SUPERVISOR_ACTOR_START_FAILURE"}, Reason.LOST, None),
        ({"error_type": "RUNTIME_ENV_SETUP_FAILURE", "runtime_env": _ENV}, Reason.LOST, None),
        ({"error_type": "RUNTIME_ENV_SETUP_FAILURE", "runtime_env": {**_ENV, "pip": ["x"]}}, Reason.REFUSED, None),
        ({"error_type": "SOMETHING_NEW"}, Reason.LOST, None),
        ({}, Reason.LOST, None),
    ],
)
def test_endings(said: dict[str, Any], ending: Reason | None, code: int | None) -> None:
    seen = see(RayJob.model_validate({"submission_id": "s-1", "status": "FAILED", **said}), "s-1", _NOTHING.get)
    assert (seen.state, seen.ending, seen.exit_code) == (NativeState.ENDED, ending, code)


def test_a_state_that_nobody_knows_is_not_the_end() -> None:
    assert see(RayJob(submission_id="s-1", status="PAUSED"), "s-1", _NOTHING.get).state is NativeState.RUNNING


def test_long_messages_keep_their_beginning_and_their_end() -> None:
    message = (
        "Job supervisor actor died:\n\tclass_name: JobSupervisor\n\tits node was lost " + "x" * 5000 + " last words"
    )
    told = see(RayJob(submission_id="s-1", status="FAILED", message=message), "s-1", _NOTHING.get).reason
    assert told.startswith("Job supervisor actor died: its node was lost x")
    assert told.endswith("x last words")
    assert "JobSupervisor" not in told
    assert len(told) < 700


# --- room -----------------------------------------------------------------------------------------------------------

_NODES = (
    RayNode(node_id="a", state="ALIVE", resources_total={"CPU": 4, "GPU": 2, "memory": 2**33, "node:a": 1}),
    RayNode(
        node_id="b",
        state="ALIVE",
        resources_total={"CPU": 8, "GPU": 4, "memory": 2**34, "accelerator_type:H100": 1, "A100": 4},
        labels={"gpu-type": "A100"},
    ),
)


def _room(held: dict[str, dict[str, tuple[float, float]]] | None = None, **report: Any) -> Room:
    status = {"loadMetricsReport": {"usageByNode": held or {}}, "autoscalerReport": report}
    answer = STATUS.validate_python({"data": {"clusterStatus": status}}).data.status
    assert answer
    return Room(_NODES, answer)


def _demand(labels: dict[str, str] | None = None, **wants: float) -> RayDemand:
    return RayDemand(required_resources=wants, label_selector=labels)


def test_why_jobs_wait() -> None:
    full = {"b": {"GPU": (4.0, 4.0), "CPU": (1.0, 8.0)}, "a": {"GPU": (0.5, 2.0)}}
    assert _room().waits_for(_demand(GPU=50)) == "no node is large enough: GPU 50, the most 4"
    assert _room(full).waits_for(_demand(GPU=2)) == "waits for room: GPU 2, free 1.5"
    assert _room(full).waits_for(_demand(CPU=1)) == "its process and its environment are being made"
    assert _room(full).waits_for(_demand({"zone": "x"}, CPU=1)) == "waits for a node with zone=x"
    launching = _room(full, pendingLaunches={"gpu": 2}, failedNodes=[["10.0.0.1", "gpu"]])
    told = launching.waits_for(_demand(GPU=3, memory=2**31))
    assert told.endswith("; the autoscaler starts 2 nodes; 1 nodes that it started have failed")
    assert "memory 2.0 GiB" in told


def test_room_in_our_words() -> None:
    kinds = GpuKinds({"A100": GpuModel(labels={"gpu-type": "A100"})})
    kinds.learn(_NODES)
    room = _room({"b": {"GPU": (0.5, 4.0), "CPU": (1.0, 8.0)}}).capacity(kinds, 3, 1)
    assert (room.cpus, room.cpus_free, room.gpus, room.gpus_free) == (12, 11, 6, 5)
    assert (room.largest_cpus, room.largest_gpus, room.largest_memory) == (8, 4, 2**34)
    assert (room.gpu_models, room.running, room.queued) == (("A100", "H100"), 3, 1)


def test_models_of_gpus_are_asked_for_as_the_cluster_knows_them() -> None:
    kinds = GpuKinds({"A100": GpuModel(resources={"A100": 1}, labels={"gpu-type": "A100"}, memory=40 * 2**30)})
    gpu: dict[str, Any] = {"gpus": 2}
    with pytest.raises(RefusedError, match=r"no GPU H100.*knows A100"):
        kinds.demand(order("s-1", "true", gpu_model="H100", **gpu))
    kinds.learn(_NODES)
    assert kinds.demand(order("s-1", "true", gpu_model="h-100", **gpu)).resources == {"accelerator_type:H100": 0.001}
    named = GpuDemand({"A100": 2}, {"gpu-type": "A100"})
    assert kinds.demand(order("s-1", "true", gpu_model="a100", **gpu)) == named
    assert kinds.demand(order("s-1", "true", gpu_memory=30 * 2**30, **gpu)) == named
    assert kinds.demand(order("s-1", "true", **gpu)) == GpuDemand()
    with pytest.raises(RefusedError):
        kinds.demand(order("s-1", "true", gpu_memory=80 * 2**30, **gpu))
