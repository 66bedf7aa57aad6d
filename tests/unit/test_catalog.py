"""Applications: what their file may say, and what a job becomes that names one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from contracts.applications import ApplicationCall
from contracts.batches import BatchSpec, jobs_of
from contracts.errors import InvalidError
from contracts.spec import JobSpec
from services.scheduler.catalog.expanding import expand
from services.scheduler.catalog.reading import BrokenCatalogError, read_catalog
from tests.support.catalogs import DOCUMENT, catalog_of, small

CATALOG = catalog_of(DOCUMENT)


def _spec(call: dict[str, Any] | None = None, **more: Any) -> JobSpec:
    names = {"application": "decode", "version": "v0_10_1", "entrypoint": "train"}
    return JobSpec.model_validate({"application": {**names, **(call or {})}, **more})


def _faults(text: str | bytes) -> list[tuple[int | None, str]]:
    with pytest.raises(BrokenCatalogError) as broken:
        read_catalog(text if isinstance(text, bytes) else text.encode())
    return [(fault.line, fault.field) for fault in broken.value.faults]


def _refused(spec: JobSpec) -> str:
    with pytest.raises(InvalidError) as refusal:
        expand(spec, CATALOG)
    return refusal.value.errors[0].field


# --- the file -----------------------------------------------------------------------------------------------------


def test_the_documents_example_is_read_as_it_stands() -> None:
    train = CATALOG.applications["decode"]["v0_10_1"]["train"]
    assert train.app.cmd[0] == "/docker/entrypoint.sh"
    assert train.handler.files_up == {"log": "log", "artifact": "model"}
    assert train.aws_resources
    assert train.aws_resources.timeout == 18000


def test_versions_are_names_whatever_they_look_like() -> None:
    assert list(read_catalog(b"a:\n  1.0:\n    run: {app: {cmd: [x]}}\n")["a"]) == ["1.0"]


def test_anchors_may_be_shared() -> None:
    text = "base: &base\n  v1: &v1 {run: {app: {cmd: [x]}}}\nother:\n  <<: *base\n  v2: *v1\n"
    assert list(read_catalog(text.encode())["other"]) == ["v1", "v2"]


@pytest.mark.parametrize(
    ("old", "new", "line", "field"),
    [
        ("        env: [SEED]", "        env: [1SEED]", 12, "decode.v0_10_1.train.app.env"),
        ("        env: [SEED]", "        envs: [SEED]", 12, "decode.v0_10_1.train.app.envs"),
        ("          config_id: config", "          config_id: ../config", 16, "…handler.files_down.config_id"),
        ("          artifact: model", "          artifact: /model", 21, "…handler.files_up.artifact"),
        ("          VCPU: 4", '          VCPU: "4"', 25, "…aws_resources.hardware.VCPU"),
        ("        timeout: 18000", "        timeout: 0", 27, "…aws_resources.timeout"),
        ("  v0_10_1:", "  v0/10:", 2, "decode.v0/10"),
        ("          VCPU: 4", "          VCPU: 4\n          VCPU: 5", 26, "VCPU"),
        ("      app:", "      apps:", 3, "decode.v0_10_1.train.app"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(old: str, new: str, line: int, field: str) -> None:
    assert (line, field.replace("…", "decode.v0_10_1.train.")) in _faults(DOCUMENT.replace(old, new, 1))


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        (b"a: [", 1),
        (b"a:\n  - b\n c: d", 3),
        (b"x: 1\ny: \xff", 2),
        (b"a: *nowhere", 1),
        (b"a: &a\n  b: *a", 1),
        (b"- list", 1),
        (b"a: !!python/object:os.system x", 1),
        (b"#" * (2**20 + 1), None),
    ],
)
def test_what_is_no_file_of_applications_is_no_file(raw: bytes, line: int | None) -> None:
    assert [place for place, _ in _faults(raw)] == [line]


def test_a_file_that_grows_when_it_is_read_is_refused() -> None:
    layers = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 9)]
    text = "\n".join(["l0: &l0 [x]", *layers])
    assert len(_faults(text)) == 1


# --- the job ------------------------------------------------------------------------------------------------------


def test_a_name_becomes_a_job() -> None:
    call = {
        "inputs": {"config_id": ["config/c"], "data_ids": ["data/d1/", "data/d2"]},
        "outputs": {"artifact": "artifact/first"},
        "env": {"SEED": "7"},
    }
    whole = expand(_spec(call, inputs=[{"source": "extra.txt"}]), CATALOG)
    spec = whole.spec
    assert spec.script
    assert spec.script.splitlines()[0] == "mkdir -p -- /files/artifact /files/config /files/data"
    assert "--calib_path=$(find /files/data -name '*.mat' | head -n 1) --param_path=" in spec.script
    assert (spec.image, spec.env) == ("public.ecr.aws/g0e9g3b1/decode:v0_10_1", {"SEED": "7"})
    assert [(item.source, item.target, item.folder) for item in spec.inputs] == [
        ("config/c", "config", True),
        ("data/d1", "data", True),
        ("data/d2", "data", True),
        ("extra.txt", "extra.txt", False),
    ]
    assert [(out.path, out.to, out.required) for out in spec.outputs] == [
        ("log", None, False),
        ("model", "artifact/first", False),
    ]
    assert whole.fields[2] == "application.inputs.data_ids.1"
    assert spec.application
    assert spec.application.title == "decode/v0_10_1/train"


def test_hardware_and_time_are_the_applications_where_nothing_is_asked() -> None:
    room = expand(_spec(), CATALOG).spec.resources
    assert (room.cpus, room.memory, room.gpus.count) == (4.0, 8000 * 2**20, 1)
    assert room.walltime == timedelta(seconds=18000)


def test_what_is_asked_wins_though_it_is_what_jobs_have_anyway() -> None:
    asked = {"cpus": 1, "gpus": {"count": 0}, "walltime": "1h"}
    # Written down and read again, as on its way to the scheduler.
    spec = JobSpec.model_validate_json(_spec(resources=asked).model_dump_json())
    room = expand(spec, CATALOG).spec.resources
    assert (room.cpus, room.memory, room.gpus.count) == (1.0, 8000 * 2**20, 0)
    assert room.walltime == timedelta(hours=1)


@pytest.mark.parametrize(
    ("call", "more", "field"),
    [
        ({"application": "x"}, {}, "application.application"),
        ({"version": "x"}, {}, "application.version"),
        ({"entrypoint": "x"}, {}, "application.entrypoint"),
        ({"inputs": {"nothing": ["d"]}}, {}, "application.inputs.nothing"),
        ({"outputs": {"nothing": "d"}}, {}, "application.outputs.nothing"),
        ({"env": {"PATH": "x"}}, {}, "application.env.PATH"),
        ({}, {"argv": ["sh"]}, "argv"),
        ({}, {"script": "rm -r /files"}, "script"),
        ({}, {"image": "other"}, "image"),
        ({}, {"env": {"PATH": "x"}}, "env"),
        ({}, {"array": {"count": 2}}, "array"),
        ({}, {"resources": {"walltime": "6h"}}, "resources.walltime"),
    ],
)
def test_what_the_application_does_not_take_is_refused_by_its_field(
    call: dict[str, Any], more: dict[str, Any], field: str
) -> None:
    assert _refused(_spec(call, **more)) == field


def test_a_common_output_that_this_entrypoint_lacks_receives_nothing() -> None:
    spec = expand(_spec({"outputs": {"output": "output/first"}}), CATALOG).spec
    assert {out.to for out in spec.outputs} == {None}


def test_what_was_expanded_is_valid_and_not_expanded_twice() -> None:
    spec = expand(_spec(), CATALOG).spec
    assert JobSpec.model_validate_json(spec.model_dump_json()) == spec
    assert _refused(spec) == "script"


@pytest.mark.parametrize(
    "call",
    [
        {"inputs": {"data_ids": ["../up"]}},
        {"inputs": {"data_ids": ["/etc"]}},
        {"outputs": {"artifact": "jobs/others"}},
        {"outputs": {"artifact": "a/../../b"}},
        {"env": {"SHUNTER_JOB_ID": "x"}},
        {"env": {"A": "\x00"}},
        {"application": "a/b"},
        {"inputs": {"data_ids": ["d"] * 1001}},
    ],
)
def test_a_call_that_nobody_could_mean_is_no_call(call: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ApplicationCall.model_validate({"application": "a", "version": "b", "entrypoint": "c", **call})


def test_in_a_batch_folders_may_come_from_other_jobs() -> None:
    call = {"application": "small", "version": "v1", "entrypoint": "run"}
    first = {"key": "one", "application": call}
    second = {
        "key": "two",
        "application": {**call, "inputs": {"data_ids": ["jobs/one/outputs/model"]}},
        "after": [{"key": "one"}],
    }
    one, two = jobs_of("bat-1", BatchSpec.model_validate({"jobs": [first, second]}))
    (item,) = expand(two, catalog_of(small("true"))).spec.inputs
    assert item.source == f"jobs/{two.after[0].job}/outputs/model"
    assert one.name == "one"
    with pytest.raises(InvalidError, match="after"):
        jobs_of("bat-1", BatchSpec.model_validate({"jobs": [first, {**second, "after": []}]}))
