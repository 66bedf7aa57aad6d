"""Folders as inputs: laid over each other in their order, and frozen when they are there."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from contracts.errors import InvalidError
from contracts.ids import workload_id
from contracts.manifests import MAX_FILES, check_manifest, merged
from contracts.runs import FrozenInput, RunTicket
from contracts.spec import JobSpec
from services.scheduler.inputs import is_to_come, left_to_freeze, put_together
from services.storage.keys import run_path

JOB = workload_id()


def _frozen(source: str, target: str) -> FrozenInput:
    return FrozenInput(source=source, target=target, key=f"ada/{source}", size=1, sha256="0" * 64)


def _spec(*inputs: dict[str, Any], **more: Any) -> JobSpec:
    return JobSpec.model_validate({"argv": ["true"], "inputs": list(inputs), **more})


def test_of_equal_names_the_one_named_last_is_there() -> None:
    first = [_frozen("d1/a", "data/a"), _frozen("d1/b", "data/b")]
    second = [_frozen("d2/b", "data/b"), _frozen("d2/c", "data/c")]
    found = merged([("one", first), ("two", second)])
    assert {item.target: item.source for item in found} == {"data/a": "d1/a", "data/b": "d2/b", "data/c": "d2/c"}


def test_a_place_is_a_file_or_a_folder() -> None:
    sets = [("one", [_frozen("d1/a", "data/a")]), ("two", [_frozen("d2/a/b", "data/a/b")])]
    for some in (sets, sets[::-1]):
        with pytest.raises(InvalidError) as refusal:
            merged(some)
        assert refusal.value.errors[0].field == "two"


def test_a_manifest_has_an_end() -> None:
    check_manifest([_frozen("a", str(number)) for number in range(MAX_FILES)])
    with pytest.raises(InvalidError, match="archive"):
        check_manifest([_frozen("a", str(number)) for number in range(MAX_FILES + 1)])
    with pytest.raises(InvalidError, match="archive"):
        check_manifest([_frozen("d" * 1000, "e" * 1000)] * 2000)


@pytest.mark.parametrize(
    "inputs",
    [
        ({"source": "a", "path": "x"}, {"source": "b", "path": "x"}),
        ({"source": "a", "path": "x"}, {"source": "d", "path": "x", "folder": True}),
        ({"source": "a", "path": "x"}, {"source": "d", "path": "x/y", "folder": True}),
    ],
)
def test_places_that_cannot_be_are_refused_before_anything_is_looked_up(inputs: tuple[dict[str, Any], ...]) -> None:
    with pytest.raises(ValidationError):
        _spec(*inputs)


def test_folders_may_share_a_place_with_each_other_and_hold_files() -> None:
    folders = [{"source": name, "path": "data", "folder": True} for name in ("d1", "d2")]
    assert len(_spec(*folders, {"source": "a", "path": "data/a"}).inputs) == 3


def test_a_folder_of_an_array_is_the_same_for_all_tasks() -> None:
    array = {"array": {"count": 2}}
    _spec({"source": "d", "folder": True}, **array)
    with pytest.raises(ValidationError, match="same for all tasks"):
        _spec({"source": "d{index}", "folder": True}, **array)
    with pytest.raises(ValidationError, match="same for all tasks"):
        _spec(**array, outputs=[{"path": "{index}", "to": "out/{index}"}])


def test_a_folder_that_another_job_leaves_behind_is_frozen_once() -> None:
    folder = {"source": f"jobs/{JOB}/outputs/model", "path": "model", "folder": True}
    spec = _spec({"source": "a"}, folder, after=[{"job": JOB}])
    assert [is_to_come(item, spec) for item in spec.inputs] == [False, True]
    there = [_frozen("a", "a")]
    assert [item.target for item in left_to_freeze(spec, there)] == ["model"]
    came = [*there, _frozen(f"jobs/{JOB}/outputs/model/w/x", "model/w/x")]
    assert left_to_freeze(spec, came) == []
    assert left_to_freeze(spec.model_copy(update={"after": []}), there) == []


def test_what_comes_later_keeps_the_order_in_which_it_was_named() -> None:
    late = {"source": f"jobs/{JOB}/outputs/d", "path": "d", "folder": True}
    spec = _spec(late, {"source": "mine", "path": "d", "folder": True}, after=[{"job": JOB}])
    mine, theirs = _frozen("mine/a", "d/a"), _frozen(f"jobs/{JOB}/outputs/d/a", "d/a")
    assert put_together(spec.inputs, [mine], [theirs]) == [mine]
    assert put_together(spec.inputs[::-1], [mine], [theirs]) == [theirs]


def test_an_attempt_stores_where_its_ticket_says_and_nowhere_else() -> None:
    ticket = RunTicket(owner="ada", workload_id=JOB, attempt=1, folders=["artifact/x"])
    assert run_path(ticket, "outputs/model/w", "artifact/x") == "artifact/x/model/w"
    assert run_path(ticket, "outputs/model/w") == f"jobs/{JOB}/outputs/model/w"
    for path, to in (("outputs/a", "artifact"), ("outputs/a", "artifact/x/y"), ("logs/1/stdout", "artifact/x")):
        with pytest.raises(InvalidError):
            run_path(ticket, path, to)


@pytest.mark.parametrize("to", ["jobs", "jobs/x", "../x", "/x", "a/../b"])
def test_outputs_go_into_folders_that_users_may_write(to: str) -> None:
    with pytest.raises(ValidationError):
        _spec(outputs=[{"path": "a", "to": to}])
