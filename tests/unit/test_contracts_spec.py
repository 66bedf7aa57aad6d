"""A bad request names its field; paths stay in their folder; spans and sizes are read as people write them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from contracts.resources import Bytes, Resources, Span
from contracts.spec import FilePath, Input, JobSpec, clean_path

GOOD: dict[str, Any] = {"argv": ["true"]}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"argv": []}, "argv"),
        ({"argv": [""]}, "argv"),
        ({"argv": ["true", "a\x00b"]}, "argv"),
        ({"argv": "true"}, "argv"),
        ({"argv": None, "script": ""}, "script"),
        ({"argv": None, "script": "a\x00b"}, "script"),
        ({"argv": None, "script": "x" * 1_000_001}, "script"),
        ({"name": ""}, "name"),
        ({"name": "a/b"}, "name"),
        ({"name": "two\nlines"}, "name"),
        ({"project": "no spaces"}, "project"),
        ({"env": {"1X": "y"}}, "env"),
        ({"env": {"X": "a\x00"}}, "env"),
        ({"env": {"SHUNTER_TICKET_KEY": "mine"}}, "env"),
        ({"inputs": [{"source": "../other"}]}, "inputs.0.source"),
        ({"inputs": [{"source": "a"}, {"source": "b", "path": "/etc/passwd"}]}, "inputs.1.path"),
        ({"outputs": [{"path": ""}]}, "outputs.0.path"),
        ({"resources": {"cpus": 0}}, "resources.cpus"),
        ({"resources": {"cpus": "nan"}}, "resources.cpus"),
        ({"resources": {"memory": "0"}}, "resources.memory"),
        ({"resources": {"memory": "many"}}, "resources.memory"),
        ({"resources": {"gpus": {"count": -1}}}, "resources.gpus.count"),
        ({"resources": {"gpus": {"model": "a100; rm"}}}, "resources.gpus.model"),
        ({"resources": {"walltime": "0s"}}, "resources.walltime"),
        ({"resources": {"walltime": "9000d"}}, "resources.walltime"),
        ({"resources": {"nodes": 0}}, "resources.nodes"),
        ({"retries": {"max": 101}}, "retries.max"),
        ({"retries": {"backoff": -1}}, "retries.backoff"),
        ({"placement": {"backend": "../x"}}, "placement.backend"),
        ({"placement": {"backends": ["a", "../x"]}}, "placement.backends.1"),
        ({"placement": {"backends": ["a", "a"]}}, "placement"),
        ({"placement": {"backend": "a", "backends": ["b"]}}, "placement"),
        ({"placement": {"backend": "a", "patience": 5}}, "placement"),
        ({"placement": {"sites": ["../x"]}}, "placement.sites.0"),
        ({"placement": {"labels": {"privacy": "a\nb"}}}, "placement.labels"),
        ({"placement": {"options": {"Slurm!": {}}}}, "placement.options.Slurm!.[key]"),
        ({"placement": {"options": {"slurm": {"comment": "x" * 20_000}}}}, "placement.options"),
        ({"placement": {"backends": ["a"], "patience": 0}}, "placement.patience"),
        ({"placement": {"environment": "two words"}}, "placement.environment"),
        ({"priority": 101}, "priority"),
        ({"priority": -101}, "priority"),
        ({"priority": 0.5}, "priority"),
        ({"start_at": "2030-01-31T18:00:00"}, "start_at"),
        ({"start_at": "tomorrow"}, "start_at"),
        ({"after": [{"job": "train"}]}, "after.0.job"),
        ({"after": [{"job": f"job-{0:032x}", "on": "luck"}]}, "after.0.on"),
        ({"after": [{"job": f"job-{0:032x}", "delay": -1}]}, "after.0.delay"),
        ({"after": [{"job": f"job-{0:032x}"}, {"job": f"job-{0:032x}", "on": "any"}]}, "after"),
        ({"after": [{"job": f"job-{number:032x}"} for number in range(1001)]}, "after"),
        ({"labels": {"bad key!": "x"}}, "labels.bad key!.[key]"),
        ({"surprise": 1}, "surprise"),
        ({"resources": {"gpu": 1}}, "resources.gpu"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bad_spec_names_the_field_that_is_wrong(change: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as raised:
        JobSpec.model_validate(GOOD | change)
    assert field in {".".join(map(str, error["loc"])) for error in raised.value.errors()}


@pytest.mark.parametrize("both", [{"argv": ["true"], "script": "true"}, {}])
def test_a_spec_says_what_to_run_exactly_once(both: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="either argv or script"):
        JobSpec.model_validate(both)


def test_two_inputs_cannot_have_the_same_place() -> None:
    with pytest.raises(ValidationError, match="same place"):
        JobSpec.model_validate(GOOD | {"inputs": [{"source": "a/x"}, {"source": "b/x"}]})


def test_a_spec_comes_back_from_the_wire_as_it_was() -> None:
    spec = JobSpec.model_validate(
        {
            "script": "echo hello",
            "env": {"A": "1"},
            "inputs": [{"source": "data/x.csv"}],
            "resources": {"memory": "2GiB", "gpus": {"count": 2, "memory": "40GB"}, "walltime": "1h30m"},
            "retries": {"max": 2, "backoff": "10s"},
        }
    )
    assert JobSpec.model_validate_json(spec.model_dump_json()) == spec


@given(st.text(max_size=60))
def test_a_path_is_refused_or_stays_in_its_folder(value: str) -> None:
    try:
        cleaned = clean_path(value)
    except ValueError:
        return
    parts = PurePosixPath(cleaned).parts
    assert parts
    assert ".." not in parts
    assert not cleaned.startswith("/")
    assert not any(ord(character) < 32 or character == "\\" for character in cleaned)
    assert clean_path(cleaned) == cleaned


@given(st.lists(st.sampled_from(["..", ".", "", "a", "b c", "…", "..."]), max_size=6))
def test_no_mix_of_dots_leaves_the_folder(parts: list[str]) -> None:
    value = "/".join(parts)
    try:
        cleaned = clean_path(value)
    except ValueError:
        return
    assert (PurePosixPath("/jail") / cleaned).is_relative_to("/jail")
    assert ".." not in cleaned.split("/")


@pytest.mark.parametrize(
    "value", ["/etc/passwd", "a/../../b", "..", "a\\b", "a\x00b", "a\nb", "", ".", "./", "a" * 1025]
)
def test_a_way_out_is_refused(value: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(FilePath).validate_python(value)


def test_an_input_is_put_under_its_own_name_unless_told_otherwise() -> None:
    assert Input(source="data/set/x.csv").target == "x.csv"
    assert Input(source="data/x.csv", path="in/y.csv").target == "in/y.csv"


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("90s", 90),
        ("10m", 600),
        ("1h30m", 5400),
        ("2d", 172_800),
        ("1d2h3m4.5s", 93_784.5),
        (" 5m ", 300),
        (60, 60),
        ("PT1H", 3600),
        (0.5, 0.5),
        ("0s", 0),
    ],
)
def test_a_span_is_read_as_people_write_it(written: object, seconds: float) -> None:
    span = TypeAdapter(Span)
    read = span.validate_python(written)
    assert read == timedelta(seconds=seconds)
    assert span.dump_python(read, mode="json") == seconds


@pytest.mark.parametrize("written", ["", "  ", "5 minutes", "1x", "h", "-5s", "1h 1h"])
def test_what_is_no_span_is_refused(written: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Span).validate_python(written)


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=365)))
def test_a_span_survives_the_wire(span: timedelta) -> None:
    adapter = TypeAdapter(Span)
    back: timedelta = adapter.validate_json(adapter.dump_json(span))
    assert abs(back - span) < timedelta(microseconds=10)


@pytest.mark.parametrize(("written", "size"), [("512MiB", 512 * 2**20), ("1GB", 10**9), (1024, 1024), ("1 KiB", 1024)])
def test_a_size_is_read_as_people_write_it(written: object, size: int) -> None:
    assert TypeAdapter(Bytes).validate_python(written) == size


@pytest.mark.parametrize("written", [0, -1, "0", "2000TiB", "x"])
def test_what_is_no_size_is_refused(written: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Bytes).validate_python(written)


def test_the_room_of_a_workload_is_that_of_all_its_processes() -> None:
    resources = Resources.model_validate({"processes": 4, "cpus": 1.5, "memory": "1GiB", "gpus": {"count": 2}})
    assert resources.total_cpus == 6
    assert resources.total_gpus == 8
    assert resources.total_memory == 4 * 2**30
    assert Resources().total_memory is None
