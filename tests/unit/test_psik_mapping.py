"""psik's words as ours and back: pure functions."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from types import ModuleType
from typing import Any

import pytest
from fastapi.exceptions import RequestValidationError
from pydantic import SecretStr, ValidationError

from contracts.errors import ForbiddenError, InvalidError
from contracts.glances import Glance
from contracts.queries import BackendView
from contracts.secrets import without_secrets
from contracts.spec import Input, JobSpec
from contracts.states import Reason, WorkloadState
from contracts.workloads import Transition
from services.gateway.auth.passport import Facts, Passport
from services.gateway.dialects.psik.backends import Target
from services.gateway.dialects.psik.lenience import without_trailing_commas
from services.gateway.dialects.psik.models import JobSpec1, JobSpec2, JobState, ResourceSpec
from services.gateway.dialects.psik.names import JOB, RUN, Stamps, native_id
from services.gateway.dialects.psik.policy import load_authz
from services.gateway.dialects.psik.resources import resources_of
from services.gateway.dialects.psik.sealing import Seal
from services.gateway.dialects.psik.settings import PsikBackend
from services.gateway.dialects.psik.spec import again, callback_of, native_spec, script_of
from services.gateway.dialects.psik.states import STATES, last_step, steps_of
from services.gateway.dialects.registry import DIALECTS
from services.gateway.settings import DIALECT_NAMES

JOBID = "1693992878.203"
LOCAL = BackendView(backend="local", kind="local", healthy=True, largest_cpus=4.0, largest_gpus=1)
SLURM = BackendView(backend="big", kind="slurm", healthy=True)
SEAL = Seal(SecretStr("k" * 40))


def _target(*views: BackendView) -> Target:
    return Target("default", PsikBackend(), views or (LOCAL,))


def _native(hold: bool = False, target: Target | None = None, **spec: Any) -> JobSpec:
    wish = JobSpec1.model_validate({"script": "true", **spec})
    return native_spec(wish, jobid=JOBID, target=target or _target(), seal=SEAL, hold=hold)


def test_the_names_in_the_settings_are_those_of_the_dialects() -> None:
    assert set(DIALECT_NAMES) == set(DIALECTS)


# --- states -------------------------------------------------------------------------------------------------------


def test_every_state_of_ours_is_one_of_psik() -> None:
    assert set(STATES) == set(WorkloadState)
    assert set(STATES.values()) == set(JobState)
    for state, seen in STATES.items():
        assert state.is_terminal == (seen in {JobState.COMPLETED, JobState.FAILED, JobState.CANCELED})


def _run(state: WorkloadState, ndx: int = 1, **more: Any) -> Glance:
    moment = datetime(2026, 11, 20, 10, tzinfo=UTC)
    labels = {JOB: JOBID, RUN: str(ndx)}
    return Glance.model_validate(
        {
            "id": native_id(JOBID, ndx),
            "owner": "ada",
            "labels": labels,
            "state": state,
            "attempt": 1,
            "revision": 3,
            "created_at": moment,
            "updated_at": moment + timedelta(seconds=1.5),
            **more,
        }
    )


def _moves(*states: WorkloadState) -> list[Transition]:
    began = datetime(2026, 11, 20, 10, tzinfo=UTC)
    return [
        Transition(
            revision=number,
            state=state,
            at=began + timedelta(seconds=number),
            attempt=1,
            reason=Reason.SUBMITTED,
            exit_code=3 if state is WorkloadState.FAILED else None,
        )
        for number, state in enumerate(states, start=1)
    ]


_W = WorkloadState


@pytest.mark.parametrize(
    ("moves", "steps"),
    [
        ([_W.ACCEPTED, _W.QUEUED, _W.STARTING, _W.RUNNING, _W.FINISHING, _W.SUCCEEDED], "queued active completed"),
        ([_W.ACCEPTED, _W.HELD], ""),
        ([_W.ACCEPTED, _W.HELD, _W.ACCEPTED, _W.QUEUED, _W.RUNNING, _W.FAILED], "queued active failed"),
        ([_W.ACCEPTED, _W.HELD, _W.CANCELED], "canceled"),
        ([_W.ACCEPTED, _W.QUEUED, _W.RUNNING, _W.QUEUED, _W.RUNNING, _W.LOST], "queued active queued active failed"),
    ],
)
def test_moves_that_psik_does_not_tell_apart_are_one_step(moves: list[WorkloadState], steps: str) -> None:
    found = list(steps_of(_run(moves[-1]), _moves(*moves)))
    assert " ".join(step.state for step in found) == steps
    assert all(step.jobndx == (0 if step.state is JobState.CANCELED else 1) for step in found)
    assert all(first.updated <= second.updated for first, second in pairwise(found))


def test_the_last_step_says_which_run_and_how_it_ended() -> None:
    step = last_step(_run(_W.FAILED, 2, exit_code=7, name="train"))
    assert (step.jobid, step.name, step.jobndx, step.state, step.info) == (JOBID, "train", 2, JobState.FAILED, 7)
    assert step.updated == datetime(2026, 11, 20, 10, 0, 1, 500_000, tzinfo=UTC).timestamp()
    assert last_step(_run(_W.HELD)).jobndx == 0


# --- names --------------------------------------------------------------------------------------------------------


def test_names_are_moments_and_never_the_same_twice() -> None:
    stamps = Stamps(clock=lambda: 1_693_992_878_203)
    assert [stamps.next() for _ in range(3)] == ["1693992878.203", "1693992878.204", "1693992878.205"]
    before = float(stamps.next())
    stamps.skip()
    assert float(stamps.next()) > before


def test_each_run_has_one_identifier_whoever_asks() -> None:
    names = {native_id(jobid, ndx) for jobid in ("1.000", "1.001") for ndx in (1, 2)}
    assert len(names) == 4
    assert native_id("1.000", 1) in names


# --- what a job asks for ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "asked",
    [
        *({"duration": value} for value in (0, -1, 10**9)),
        *({name: value} for name in ("node_count", "process_count", "processes_per_node") for value in (0, -1, 10**9)),
        *({"cpu_cores_per_process": value} for value in (0, -2, 10**6)),
        *({"gpu_cores_per_process": value} for value in (-1, 10**6)),
        {"process_count": 4, "node_count": 2, "processes_per_node": 2},
        {"process_count": 4, "processes_per_node": 2},
        {"node_count": 10_000, "processes_per_node": 100_000},
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(asked: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        ResourceSpec.model_validate(asked)


@pytest.mark.parametrize(
    ("asked", "nodes", "processes", "cpus", "gpus"),
    [
        ({}, 1, 1, 1, 0),
        ({"process_count": 8, "cpu_cores_per_process": 7, "gpu_cores_per_process": 1}, 1, 8, 7, 1),
        ({"node_count": 2, "processes_per_node": 3}, 2, 6, 1, 0),
        ({"node_count": 2}, 2, 2, 1, 0),
        ({"process_count": "2"}, 1, 2, 1, 0),
    ],
)
def test_a_cluster_is_asked_for_what_the_job_asks_for(
    asked: dict[str, Any], nodes: int, processes: int, cpus: int, gpus: int
) -> None:
    found, cut = resources_of(ResourceSpec.model_validate({"duration": 2, **asked}), (SLURM, LOCAL))
    assert (found.nodes, found.processes, found.cpus, found.gpus.count) == (nodes, processes, cpus, gpus)
    assert found.walltime == timedelta(minutes=2)
    assert cut == ""


def test_a_single_machine_is_asked_for_no_more_than_it_has() -> None:
    asked = ResourceSpec(process_count=8, cpu_cores_per_process=7, gpu_cores_per_process=1, node_count=2)
    found, cut = resources_of(asked, (LOCAL,))
    assert (found.nodes, found.total_cpus, found.total_gpus) == (1, 4, 1)
    assert cut == "nodes 2 -> 1, cpus 56 -> 4, gpus 8 -> 1"
    small, uncut = resources_of(ResourceSpec(process_count=2, gpu_cores_per_process=0), (LOCAL,))
    assert (small.processes, small.total_cpus, uncut) == (2, 2, "")


# --- the spec -----------------------------------------------------------------------------------------------------


def test_a_job_takes_its_environment_and_its_names_along() -> None:
    spec = _native(hold=True, environment={"A": "1", "jobid": "mine"}, inherit_environment=False, name="a/b")
    assert spec.env == {"A": "1", "nodes": "1", "mpirun": "", "jobndx": "1", "jobid": JOBID, "base": ".."}
    assert not spec.inherit_env
    assert spec.hold
    assert (spec.name, spec.labels["psik.name"]) == ("a_b", "a/b")
    assert [(item.path, item.required) for item in spec.outputs] == [("*", False)]


@pytest.mark.parametrize("script", ["cat data.txt", "#!/usr/bin/env python3\nprint(1)\n", ""])
def test_a_script_is_what_the_client_sent(script: str) -> None:
    spec = _native(script=script)
    assert script_of(spec) == script
    assert (spec.script or "").count("\n") == script.count("\n")
    assert (spec.script == script) == script.startswith("#!")


def test_what_is_wrong_is_named_as_psik_names_it() -> None:
    with pytest.raises(RequestValidationError) as caught:
        _native(environment={"not a name": "x"})
    assert caught.value.errors()[0]["loc"] == ("body", "environment")
    with pytest.raises(InvalidError, match="directory"):
        _native(directory="/tmp/somewhere")


def test_backends_of_both_releases_are_understood() -> None:
    old = JobSpec1.model_validate({"script": "true", "backend": {"type": "slurm", "project_name": "demo", "x": 1}})
    assert (old.project, old.backend_name) == ("demo", None)
    new = JobSpec2.model_validate({"script": "true", "backend": "big", "attributes": {"--x": "y"}})
    assert (new.project, new.backend_name) == (None, "big")
    with pytest.raises(ValidationError):
        JobSpec2.model_validate({"script": "true", "surprise": 1})
    JobSpec1.model_validate({"script": "true", "surprise": 1})


def test_a_further_run_is_the_same_job_with_what_the_last_one_left() -> None:
    first = _native(hold=True, environment={"A": "1"})
    second = again(first, 2, [Input(source="jobs/x/outputs/a", path="a")], of=native_id(JOBID, 1))
    JobSpec.model_validate(second.model_dump())
    assert (second.env["jobndx"], second.labels[RUN], second.hold) == ("2", "2", False)
    assert second.script == first.script


def test_a_callback_is_handed_on_and_further_runs_are_signed_as_the_first() -> None:
    wish = JobSpec1.model_validate({"script": "true", "callback": "http://127.0.0.1:9/x", "cb_secret": "s3cret"})
    assert callback_of(wish) == {"url": "http://127.0.0.1:9/x", "secret": "s3cret", "format": "psik"}
    assert callback_of(JobSpec1.model_validate({"script": "true"})) is None
    assert "s3cret" not in wish.model_dump_json()
    first = without_secrets(_native(callback="http://127.0.0.1:9/x", cb_secret="s3cret"))
    second = again(first, 2, [], of=native_id(JOBID, 1))
    assert second.callback is not None
    assert (second.callback.secret, second.callback.secret_of) == (None, native_id(JOBID, 1))
    assert JobSpec.model_validate(second.model_dump()) == second


# --- secrets, policies, commas ------------------------------------------------------------------------------------


def test_a_sealed_secret_opens_for_its_job_only() -> None:
    sealed = SEAL.close("täglich", JOBID)
    assert SEAL.open(sealed, JOBID) == "täglich".encode()
    assert SEAL.open(sealed, "1.000") is None
    assert Seal(SecretStr("j" * 40)).open(sealed, JOBID) is None
    assert SEAL.open("nonsense", JOBID) is None
    with pytest.raises(InvalidError):
        Seal(SecretStr("")).close("x", JOBID)
    with pytest.raises(InvalidError):
        SEAL.close("ä" * 120, JOBID)


class _DayTime:
    async def require(self, passport: Passport, facts: Facts) -> None:
        raise ForbiddenError(f"{facts.path} sleeps for {passport}")


async def test_a_policy_comes_from_where_the_settings_say() -> None:
    module = ModuleType("a_policy_of_a_site")
    module.__dict__["DayTime"] = _DayTime
    sys.modules[module.__name__] = module
    try:
        policy = load_authz("a_policy_of_a_site:DayTime")
    finally:
        del sys.modules[module.__name__]
    passport: Any = None
    with pytest.raises(ForbiddenError, match="/v1/jobs sleeps"):
        await policy.require(passport, Facts("GET", "/v1/jobs"))
    await load_authz("local").require(passport, Facts("GET", "/v1/jobs"))


@pytest.mark.parametrize("name", ["no.such.module:Class", "json:NoSuchClass", "no-such-entry-point"])
def test_a_policy_that_is_not_there_lets_nothing_start(name: str) -> None:
    with pytest.raises(ValueError, match=r"psik\.authz"):
        load_authz(name)


def test_a_class_that_is_no_policy_lets_nothing_start() -> None:
    with pytest.raises(TypeError, match="require"):
        load_authz("json:JSONDecoder")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ('{"a": 1,}', {"a": 1}),
        ('{"a": [1, 2,\n],\n}', {"a": [1, 2]}),
        ('{"a": ",}", "b": "\\",]"}', {"a": ",}", "b": '",]'}),
    ],
)
def test_a_comma_too_many_is_passed_over_and_texts_are_left_alone(typed: str, meant: object) -> None:
    assert json.loads(without_trailing_commas(typed)) == meant


@pytest.mark.parametrize("typed", ['{"a": 1,,}', "{,}x", "[1 2]", '{"a" 1,}'])
def test_nothing_else_is_forgiven(typed: str) -> None:
    load: Callable[[str], object] = json.loads
    with pytest.raises(json.JSONDecodeError):
        load(without_trailing_commas(typed))
