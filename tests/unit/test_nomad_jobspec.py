"""An order as a job of Nomad: what is set whatever the template says, and what is refused before Nomad is asked."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.errors import InvalidError, UnavailableError
from services.scheduler.backends.engines.nomad.jobspec import Terms, dressed, numbers_of, words_of
from services.scheduler.backends.engines.nomad.settings import Constraint, NomadOptions, NomadSettings
from services.scheduler.backends.engines.nomad.template import BUILT_IN, Job, filled, main_task, source_of
from tests.support.nomad_sim.hcl import parse_job
from tests.support.nomad_site import order

_TERMS = Terms("lab", ("dc1", "dc2"), 2400)


def _built(wishes: dict[str, Any] | None = None, said: dict[str, Any] | None = None, **options: Any) -> Job:
    wanted, settings = order("s-1", "exit 0", **(wishes or {})), NomadSettings(**(said or {}))
    source = source_of(BUILT_IN.read_text(), numbers_of(wanted, settings, _TERMS))
    job: Job = filled(parse_job(source), words_of(wanted, settings, _TERMS))
    return dressed(job, wanted, NomadOptions(**options), settings, _TERMS)


def _task(job: Job) -> Job:
    return main_task(job)[1]


def test_nothing_is_ever_started_again_by_nomad() -> None:
    job = _built()
    group, task = main_task(job)
    assert (job["ID"], job["Name"], job["Type"], job["Namespace"]) == ("s-1", "s-1", "batch", "lab")
    assert (group["Count"], group["RestartPolicy"]["Attempts"], group["RestartPolicy"]["Mode"]) == (1, 0, "fail")
    assert (group["ReschedulePolicy"]["Attempts"], group["ReschedulePolicy"]["Unlimited"]) == (0, False)
    assert (task["KillSignal"], task["KillTimeout"]) == ("SIGTERM", 30 * 10**9)


def test_secrets_are_in_the_environment_alone() -> None:
    job = _built()
    token = "token-of-s-1"
    assert _task(job)["Env"]["SHUNTER_PILOT_TOKEN"] == token
    del _task(job)["Env"]["SHUNTER_PILOT_TOKEN"]
    assert token not in str(job)


def test_without_an_image_a_shell_runs_the_script_and_sees_no_gpu() -> None:
    task = _task(_built())
    assert (task["Driver"], task["Config"]["command"]) == ("exec", "/bin/sh")
    assert task["Env"]["CUDA_VISIBLE_DEVICES"] == ""
    assert task["Templates"][-1]["EmbeddedTmpl"].endswith("exit 0")


def test_an_image_runs_the_script_in_the_place_of_its_own_entrypoint() -> None:
    task = _task(_built({"image": "reg:5000/lab/tool:2"}))
    assert (task["Driver"], task["Config"]["image"]) == ("docker", "reg:5000/lab/tool:2")
    assert task["Config"]["entrypoint"][0] == "/bin/sh"


@pytest.mark.parametrize(
    ("image", "name", "tag"),
    [
        ("a", "a", "latest"),
        ("a:1", "a", "1"),
        ("reg:5000/a", "reg:5000/a", "latest"),
        ("reg:5000/a:2", "reg:5000/a", "2"),
    ],
)
def test_an_image_is_divided_for_templates_that_want_its_tag(image: str, name: str, tag: str) -> None:
    words = words_of(order("s-1", "", image=image), NomadSettings(), _TERMS)
    assert (words["DOCKER_IMAGE"], words["DOCKER_TAG"]) == (name, tag)


def test_room_is_said_in_mhz_or_in_whole_cores() -> None:
    wishes = {"cpus": 1.5, "memory": 100 * 2**20 + 1}
    assert _task(_built(wishes))["Resources"] == {"CPU": 3600, "MemoryMB": 101}
    assert _task(_built(wishes, {"cores": True}))["Resources"] == {"Cores": 2, "MemoryMB": 101}


def test_gpus_are_devices_and_their_model_is_a_whole_word() -> None:
    job = _built({"gpus": 2, "gpu_model": "A100-SXM", "gpu_memory": 40 * 2**30})
    (device,) = _task(job)["Resources"]["Devices"]
    assert (device["Name"], device["Count"]) == ("nvidia/gpu", 2)
    assert [each["LTarget"] for each in device["Constraints"]] == ["${device.model}", "${device.attr.memory}"]
    assert device["Constraints"][0]["RTarget"] == r"(?i)(^|[^a-z0-9])A100\-SXM($|[^a-z0-9])"
    assert device["Constraints"][1]["RTarget"] == "40960 MiB"


def test_a_model_that_nodes_say_in_their_meta_is_a_constraint_of_the_node() -> None:
    job = _built({"gpus": 1, "gpu_model": "T4"}, {"gpu_meta": "gpu_model"})
    assert _task(job)["Resources"]["Devices"][0]["Constraints"] == []
    assert job["Constraints"][-1]["LTarget"] == "${meta.gpu_model}"


def test_users_and_sites_narrow_the_nodes_together() -> None:
    said = {"constraints": [Constraint(attribute="${meta.a}", value="1")]}
    options: dict[str, Any] = {
        "node_class": "big",
        "constraints": [{"attribute": "${meta.b}", "operator": "!=", "value": "2"}],
    }
    job = _built(said=said, datacenters=["dc2", "dc9"], **options)
    assert job["Datacenters"] == ["dc2"]
    found = [(each["LTarget"], each["Operand"], each["RTarget"]) for each in job["Constraints"]]
    assert found[1:] == [("${meta.a}", "=", "1"), ("${meta.b}", "!=", "2"), ("${node.class}", "=", "big")]


def test_a_datacenter_that_is_not_open_is_refused_with_those_that_are() -> None:
    with pytest.raises(InvalidError, match="dc1, dc2"):
        _built(datacenters=["dc9"])


def test_several_nodes_at_once_are_refused() -> None:
    with pytest.raises(InvalidError, match="ask for nodes: 1") as caught:
        _built({"nodes": 2})
    assert caught.value.errors[0].field == "resources.nodes"


def test_nothing_that_nomad_would_fill_in_comes_from_a_user_or_into_the_environment() -> None:
    with pytest.raises(InvalidError, match="image"):
        _built({"image": "x${attr.unique.hostname}"})
    with pytest.raises(UnavailableError, match="environment"):
        _built({"env": {"SHUNTER_X": "${attr.unique.hostname}"}})


@pytest.mark.parametrize(("base", "own", "found"), [(50, 0, 50), (50, 10, 60), (50, 100, 100), (50, -100, 1)])
def test_priority_stays_within_what_nomad_knows(base: int, own: int, found: int) -> None:
    assert _built({"priority": own}, {"priority": base})["Priority"] == found


def test_a_template_needs_one_group_with_one_task_to_be_the_pilot() -> None:
    wrong: list[Any] = [None, [], [{"Tasks": []}], [{"Tasks": [{"Name": "a"}, {"Name": "b"}]}], [{}, {}]]
    for groups in wrong:
        with pytest.raises(UnavailableError, match="main"):
            main_task({"TaskGroups": groups})
    assert main_task({"TaskGroups": [{"Tasks": [{"Name": "x"}, {"Name": "main"}]}]})[1] == {"Name": "main"}
