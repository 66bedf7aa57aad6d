"""decode's words and ours: there and back."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from contracts.catalog import AppPart, Catalog, Entrypoint
from contracts.errors import ConflictError, ErrorCode, InvalidError, NotFoundError, UnauthenticatedError
from contracts.files import FileRecord
from contracts.model import now
from contracts.principals import Level, Principal, Role
from contracts.states import WorkloadState
from services.gateway.dialects.decode.files import Place, file_info, read_place
from services.gateway.dialects.decode.groups import Group, groups_of
from services.gateway.dialects.decode.models import JobCreate
from services.gateway.dialects.decode.refusals import refusal_of
from services.gateway.dialects.decode.settings import DecodeSettings, Environment
from services.gateway.dialects.decode.spec import folders_of, job_of, native_spec
from services.gateway.dialects.decode.states import STATES, JobStates, status_of
from services.gateway.dialects.decode.words import say
from services.gateway.dialects.decode_worker.jobs import steps_of

SETTINGS = DecodeSettings()
CATALOG = Catalog(
    applications={"decode": {"v0_10_1": {"train": Entrypoint(app=AppPart(cmd=["true"], env=["SEED", "RATE"]))}}}
)


def _wish(**more: Any) -> JobCreate:
    plain: dict[str, Any] = {
        "job_name": "first",
        "application": {"application": "decode", "version": "v0_10_1", "entrypoint": "train"},
        "attributes": {"files_down": {"config_id": "c1", "data_ids": ["d1", "d2"], "artifact_ids": []}},
    }
    return JobCreate.model_validate({**plain, **more})


def _attributes(env: dict[str, str] | None = None, **files: Any) -> dict[str, Any]:
    return {"files_down": {"config_id": "c1", "data_ids": [], "artifact_ids": [], **files}, "env_vars": env}


def _record(wish: JobCreate, **more: Any) -> dict[str, Any]:
    spec = native_spec(wish, SETTINGS).model_dump(mode="json")
    plain: dict[str, Any] = {
        "number": 7,
        "owner": "ada@lab.org",
        "state": "queued",
        "phase": "",
        "message": "",
        "name": spec["name"],
        "labels": spec["labels"],
        "spec": spec,
        "created_at": "2026-11-21T03:29:00.089853Z",
        "started_at": None,
        "finished_at": None,
    }
    return {**plain, **more}


def test_every_state_of_ours_is_one_of_decodes() -> None:
    assert set(STATES) == set(WorkloadState)
    for state in WorkloadState:
        assert state.is_terminal == (STATES[state] in {JobStates.FINISHED, JobStates.ERROR})


def test_a_backends_own_word_counts_while_the_job_is_on_its_way() -> None:
    assert status_of(WorkloadState.QUEUED, "pulled") is JobStates.PULLED
    assert status_of(WorkloadState.RUNNING, "postprocessing") is JobStates.POSTPROCESSING
    assert status_of(WorkloadState.ACCEPTED, "pulled") is JobStates.QUEUED
    assert status_of(WorkloadState.SUCCEEDED, "running") is JobStates.FINISHED
    assert status_of(WorkloadState.RUNNING, "dreaming") is JobStates.RUNNING


def test_a_job_becomes_one_of_ours() -> None:
    hardware = {"cpu_cores": 2, "memory": 100, "gpu_model": "a100", "gpu_mem": 1000}
    spec = native_spec(_wish(priority=3, hardware=hardware, attributes=_attributes({"SEED": "1"})), SETTINGS)
    assert (spec.name, spec.unique_name, spec.priority) == ("first", True, 3)
    call = spec.application
    assert call is not None
    assert call.inputs == {"config_id": ["config/c1"]}
    assert call.outputs == {"output": "output/first", "log": "log/first", "artifact": "artifact/first"}
    assert call.env == {"SEED": "1"}
    assert (spec.resources.cpus, spec.resources.memory) == (2, 100 * 2**20)
    assert (spec.resources.gpus.count, spec.resources.gpus.model) == (1, "a100")
    assert set(call.asked or ()) == {"cpus", "memory", "gpus"}


def test_what_was_not_asked_for_is_the_applications_to_say() -> None:
    for hardware in (None, {}, dict.fromkeys(("cpu_cores", "memory", "gpu_model", "gpu_archi", "gpu_mem"))):
        call = native_spec(_wish(hardware=hardware), SETTINGS).application
        assert call is not None
        assert call.asked == []


def test_an_environment_has_the_backends_that_the_site_names() -> None:
    places = {"local": Environment(backends=["pull", "local"], patience=20), "any": Environment(backends=["local"])}
    settings = DecodeSettings.model_validate({"environments": places})
    local = native_spec(_wish(environment="local"), settings).placement
    assert (local.backends, local.environment) == (["pull", "local"], "local")
    assert native_spec(_wish(), settings).placement.backends == ["local"]
    assert native_spec(_wish(environment="cloud"), settings).placement.named == []


def test_a_job_of_ours_is_shown_as_it_was_asked_for() -> None:
    wish = _wish(job_name="a/b", environment="cloud", hardware={"memory": 5}, attributes=_attributes({}))
    shown = job_of(_record(wish), "ada@lab.org")
    assert shown["id"] == 7
    assert shown["date_created"] == "2026-11-21T03:29:00.089853"
    assert datetime.fromisoformat(shown["date_created"]).tzinfo is None
    assert (shown["job_name"], shown["environment"], shown["priority"]) == ("a/b", "cloud", 0)
    assert shown["paths_out"] == folders_of("a/b")
    assert shown["attributes"] == _attributes({})
    assert shown["hardware"] == {**dict.fromkeys(("cpu_cores", "gpu_model", "gpu_archi", "gpu_mem")), "memory": 5}
    assert (shown["user_id"], shown["user_email"]) == ("ada@lab.org", "ada@lab.org")
    assert job_of(_record(_wish()), "")["attributes"]["env_vars"] is None


def test_details_are_told_of_what_went_wrong_only() -> None:
    failed = job_of(_record(_wish(), state="failed", message="exited with 3"), "")
    assert (failed["status"], failed["runtime_details"]) == ("error", "exited with 3")
    assert job_of(_record(_wish(), state="succeeded", message="well", tail="end"), "")["runtime_details"] is None
    assert job_of(_record(_wish(), state="queued", message="placed"), "")["runtime_details"] is None


def test_the_end_of_the_log_is_told_while_a_job_runs_and_when_it_has_failed() -> None:
    running = job_of(_record(_wish(), state="running", message="started", tail="epoch 3\n"), "")
    assert (running["status"], running["runtime_details"]) == ("running", "Logs:\nepoch 3\n")
    failed = job_of(_record(_wish(), state="failed", message="exited with 3", tail="boom"), "")
    assert failed["runtime_details"] == "exited with 3\nLogs:\nboom"
    assert [step.tail for step in steps_of(JobStates.RUNNING, "x" * 5000 + "end", is_ending=False)][-1].endswith("xend")


@pytest.mark.parametrize("name", ["", "..", "a/../b", "/a", "a//b", "a/", "a\n", "x" * 129])
def test_a_name_that_is_no_folders_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        _wish(job_name=name)


@pytest.mark.parametrize("folder", ["../../../f", "a/../../b", "..", "", "/", "a\x00b"])
def test_an_input_cannot_leave_its_area(folder: str) -> None:
    with pytest.raises(InvalidError):
        native_spec(_wish(attributes=_attributes(data_ids=[folder])), SETTINGS)


def test_a_job_needs_a_configuration_and_nothing_else() -> None:
    with pytest.raises(InvalidError, match="config_id"):
        native_spec(_wish(attributes=_attributes(config_id=None)), SETTINGS)
    call = native_spec(_wish(attributes=_attributes(data_ids=None, artifact_ids=None)), SETTINGS).application
    assert call is not None
    assert list(call.inputs) == ["config_id"]


@pytest.mark.parametrize("priority", [-1, 6])
def test_a_priority_is_between_0_and_5(priority: int) -> None:
    with pytest.raises(ValidationError, match=f"Priority must be between 0 and 5, not {priority}"):
        _wish(priority=priority)


def test_an_environment_is_one_of_decodes() -> None:
    with pytest.raises(ValidationError, match="Input should be 'cloud', 'local' or None"):
        _wish(environment="moon")


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("application", "Application must be one of ['decode'], not x."),
        ("version", "Version must be one of ['v0_10_1'], not x."),
        ("entrypoint", "Entrypoint must be one of ['train'], not x."),
    ],
)
def test_what_is_not_offered_is_named_with_what_is(part: str, said: str) -> None:
    named = {"application": "decode", "version": "v0_10_1", "entrypoint": "train", part: "x"}
    refusal = refusal_of(InvalidError("no"), _wish(application=named), CATALOG)
    assert isinstance(refusal, RequestValidationError)
    assert [(tuple(one["loc"]), one["msg"]) for one in refusal.errors()] == [
        (("body", "application", part), f"Value error, {said}")
    ]


def test_variables_are_those_that_the_application_takes() -> None:
    refusal = refusal_of(InvalidError("no"), _wish(attributes=_attributes({"HOME": "/"})), CATALOG)
    assert isinstance(refusal, RequestValidationError)
    assert "must be in ['SEED', 'RATE']" in refusal.errors()[0]["msg"]


def test_other_refusals_keep_their_text() -> None:
    taken = refusal_of(ConflictError("x"), _wish(), CATALOG)
    assert isinstance(taken, HTTPException)
    assert (taken.status_code, taken.detail) == (409, "Job name must be unique")
    missing = refusal_of(InvalidError("there is no folder data/d2"), _wish(), CATALOG)
    assert isinstance(missing, HTTPException)
    assert (missing.status_code, missing.detail) == (400, "there is no folder data/d2")


def test_credentials_that_are_not_good_are_all_called_the_same() -> None:
    said = say(UnauthenticatedError("the token is over"), {}, None)
    assert (said.status_code, said.body) == (401, b'{"detail":"Not authenticated"}')
    assert say(InvalidError("no"), {}, None).status_code == 400
    assert say(NotFoundError("no"), {}, None).status_code == 404
    assert UnauthenticatedError.code is ErrorCode.UNAUTHENTICATED


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", Place("", is_folder=True)),
        ("/", Place("", is_folder=True)),
        ("data//d1/", Place("data/d1", is_folder=True)),
        ("data/d1", Place("data/d1", is_folder=False)),
        ("/data/./d1", Place("data/d1", is_folder=False)),
    ],
)
def test_a_path_keeps_whether_it_is_a_folders(text: str, place: Place) -> None:
    assert read_place(text) == place


@pytest.mark.parametrize("text", ["data/../../x", "..", "a/..", "a\\..\\b", "a\x00b", "../"])
def test_no_path_leads_out(text: str) -> None:
    with pytest.raises(ValueError, match=r"path|allowed"):
        read_place(text)


def test_sizes_are_for_people() -> None:
    def size(number: int) -> str:
        record = FileRecord(path="a", owner="o", size=number, sha256="0" * 64, created_at=now())
        return file_info(record).size

    assert [size(number) for number in (0, 5, 1234, 5_300_000)] == ["0 Bytes", "5 Bytes", "1.2 kB", "5.3 MB"]


def test_groups_are_projects() -> None:
    projects = {"decode-users": Level.MEMBER, "decode-cloud": Level.MEMBER, "other": Level.ADMIN}
    assert groups_of(Principal(subject="a", projects=projects), SETTINGS.groups) == [Group.USERS, Group.CLOUD]
    assert groups_of(Principal(subject="a"), SETTINGS.groups) == []
    assert groups_of(Principal(subject="a", roles=frozenset({Role.ADMIN})), SETTINGS.groups) == list(Group)
