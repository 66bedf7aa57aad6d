"""What is said to a container engine, and what its words mean: no engine is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from contracts.errors import InvalidError
from contracts.states import Reason
from services.scheduler.backends.engines.base import EngineMeans, Launch, NativeState, Order
from services.scheduler.backends.engines.docker.container import running, waiting
from services.scheduler.backends.engines.docker.labels import wants_of
from services.scheduler.backends.engines.docker.room import Machine, Room, Wants
from services.scheduler.backends.engines.docker.settings import DockerSettings
from services.scheduler.backends.engines.docker.views import ended_of, glance_of

_MEANS = EngineMeans("docks", "s1", Path("/nowhere"))
_NVIDIA = [{"id": "0", "model": "NVIDIA A100-SXM4-40GB", "memory": "40GiB"}, {"id": "GPU-1f", "model": "H100"}]


def _order(**more: Any) -> Order:
    launch = Launch("exit 0", {"SHUNTER_PILOT_TOKEN": "secret"}, Path("/pilots/pilot.pyz"))
    values = {"cpus": 1.0, "memory": None, "gpus": 0, "walltime": 60.0, "image": "tool:1", **more}
    return Order("s1-1", "ada", None, "train", launch, **values)


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"url": "tcp://engine.example:2375"}, "tls is needed"),
        ({"url": "ssh://engine.example"}, "url"),
        ({"network": "none"}, "network"),
        ({"network": "container:other"}, "network"),
        ({"user": "root"}, "user"),
        ({"gpus": [{"id": "0"}, {"id": "0"}]}, "named twice"),
        ({"gpus": [{"id": "0", "devices": ["/etc/shadow:/dev/x"]}]}, "devices"),
        ({"privileged": True}, "privileged"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(said: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        DockerSettings.model_validate(said)


def test_an_engine_on_this_machine_needs_no_tls() -> None:
    assert DockerSettings(url="tcp://127.0.0.1:2375").tls is None


def test_secrets_are_in_the_environment_alone() -> None:
    config = waiting(_order(), Wants(), DockerSettings(), _MEANS)
    assert "SHUNTER_PILOT_TOKEN=secret" in config["Env"]
    assert "secret" not in str({**config, "Env": []})


def test_gpus_of_nvidia_are_requested_by_name_and_an_image_cannot_ask_for_all() -> None:
    settings = DockerSettings.model_validate({"gpus": _NVIDIA})
    wants = Wants.of(_order(gpus=1), settings)
    waits = {"Id": "w", "Config": waiting(_order(gpus=1), wants, settings, _MEANS), "HostConfig": {}}
    with_one, with_none = running(waits, ("GPU-1f",), settings), running(waits, (), settings)
    (request,) = with_one["HostConfig"]["DeviceRequests"]
    assert (request["Driver"], request["DeviceIDs"], request["Capabilities"]) == ("nvidia", ["GPU-1f"], [["gpu"]])
    assert {"NVIDIA_VISIBLE_DEVICES=GPU-1f", "CUDA_VISIBLE_DEVICES=0"} <= set(with_one["Env"])
    assert with_none["HostConfig"]["DeviceRequests"] is None
    assert "NVIDIA_VISIBLE_DEVICES=void" in with_none["Env"]


def test_what_is_wanted_is_read_from_labels_again() -> None:
    wants = Wants.of(_order(cpus=0.5, processes=3, memory=10, gpus=1, gpu_model="a100"), DockerSettings())
    assert wants == Wants(1.5, 30, 3, "a100", 0)
    config = waiting(_order(), wants, DockerSettings(), _MEANS)
    assert wants_of(config["Labels"]) == wants
    assert wants_of({"shunter.wants.cpus": "many"}) == Wants()


def test_room_is_kept_for_what_waits() -> None:
    settings = DockerSettings.model_validate({"gpus": _NVIDIA, "cpus": 4})
    room = Room(settings, Machine("m", 8, 100), [Wants(3.0, 10)], ["0"])
    assert room.take(Wants(2.0)) is None
    assert room.take(Wants(0.5)) is None, "it would overtake the first"
    other = Room(settings, Machine("m", 8, 100), [Wants(3.0, 10)], ["0"])
    assert other.take(Wants(1.0, 90, 1)) == ("GPU-1f",)
    assert other.take(Wants(0.0, 0, 1)) is None
    with pytest.raises(InvalidError, match="0 of that kind"):
        other.refuse(Wants(1.0, 0, 1, "a100", 80 * 2**30), 1)


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ("created", NativeState.WAITING),
        ("configured", NativeState.WAITING),
        ("running", NativeState.RUNNING),
        ("paused", NativeState.RUNNING),
        ("Exited", NativeState.ENDED),
        ("stopped", NativeState.ENDED),
        ("dead", NativeState.ENDED),
    ],
)
def test_states_of_both_engines_are_known(said: str, state: NativeState) -> None:
    assert glance_of({"Id": "1", "State": said, "Labels": None}).state is state


@pytest.mark.parametrize(
    ("code", "starved", "killed", "ending"),
    [
        (0, False, False, None),
        (0, True, False, None),  # something in it was ended by the kernel, and the pilot told
        (3, False, False, None),
        (137, True, False, Reason.MEMORY),
        (137, False, True, Reason.CANCELED),
        (143, False, False, Reason.INTERRUPTED),
        (255, False, False, Reason.LOST),
        (91, False, False, Reason.REFUSED),
    ],
)
def test_how_a_container_ended(code: int, starved: bool, killed: bool, ending: Reason | None) -> None:
    state = {"ExitCode": code, "OOMKilled": starved, "Error": "", "FinishedAt": "2030-01-01T00:00:01Z"}
    config = {"Labels": {"shunter.name": "s1-1"}, "Image": "tool:1"}
    ended = ended_of({"Id": "1", "State": state, "Config": config, "Created": "2030-01-01T00:00:00Z"})
    seen = ended.seen("m", killed_through_engine=killed, last_words="its last words")
    assert (seen.ending, seen.exit_code, seen.state) == (ending, code, NativeState.ENDED)
    assert seen.reason
