"""What is decided about native jobs without asking anybody: names, packs, kinds of backends."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from contracts.errors import InvalidError
from contracts.ids import workload_id
from contracts.runs import RunBundle
from services.scheduler.backends.engines.kinds import kinds, load
from services.scheduler.natives.cluster import prefix_of
from services.scheduler.natives.packing import Waiting, group, order_of, shape_of
from services.scheduler.natives.words import Named, native_name, read_name
from services.scheduler.settings import BackendSettings
from tests.support.clusters import task
from tests.support.engines import MemoryEngine, PlainLauncher


def _settings(**values: Any) -> BackendSettings:
    return BackendSettings.model_validate({"name": "hpc", "kind": "memory", "memory": {"world": "unit"}, **values})


PACKING = _settings(pack={"most": 3, "cpus": 2, "walltime": 100}, grace=10)


@given(attempt=st.integers(1, 10**6 - 1), is_pack=st.booleans(), returns=st.integers(0, 9))
def test_a_name_tells_what_it_runs_and_is_a_label(attempt: int, is_pack: bool, returns: int) -> None:
    job = workload_id()
    name = native_name("s1234567", job, attempt, is_pack=is_pack, returns=returns)
    assert read_name(name) == Named(job, attempt, is_pack)
    assert len(name) <= 52
    assert name.replace("-", "").isalnum()
    assert name == name.lower()


@pytest.mark.parametrize("name", ["", "other", "s1-abc-1", f"s1-{'0' * 32}", f"S1-{'0' * 32}-1", f"s1-{'0' * 32}-1px"])
def test_other_names_tell_nothing(name: str) -> None:
    assert read_name(name) is None


def test_two_backends_and_two_sites_do_not_take_each_others_jobs_for_theirs() -> None:
    words = {prefix_of(_settings(name=name), key) for name in ("one", "two") for key in ("a" * 40, "b" * 40)}
    assert len(words) == 4
    assert prefix_of(_settings(prefix="lab"), "a" * 40) == "lab"


@given(
    jobs=st.lists(
        st.tuples(
            st.sampled_from(["ada", "bob"]),
            st.sampled_from([None, "demo"]),
            st.sampled_from([0.5, 1.0, 2.0]),
            st.sampled_from([60.0, 100.0, 101.0]),
            st.integers(0, 1),
        ),
        max_size=20,
    )
)
def test_a_pack_has_small_jobs_of_one_owner_and_project_and_everybody_goes_once(jobs: list[Any]) -> None:
    waiting = [
        Waiting(number, task(owner=owner, project=project, cpus=cpus, walltime=walltime), returns)
        for number, (owner, project, cpus, walltime, returns) in enumerate(jobs)
    ]
    groups = group(waiting, PACKING, "s1")
    assert sorted(member.number for one in groups for member in one.members) == list(range(len(waiting)))
    assert len({one.name for one in groups}) == len(groups)
    for one in groups:
        if len(one.members) > 1:
            assert len(one.members) <= 3
            assert len({(task.owner, task.project) for task in one.tasks}) == 1
            assert all(task.cpus <= 1 and task.walltime <= 100 for task in one.tasks)
            assert not any(member.returns for member in one.members)


@pytest.mark.parametrize(
    "alone",
    [
        {"gpus": 1},
        {"image": "debian"},
        {"nodes": 2},
        {"processes": 2},
        {"options": {"memory": {"partition": "long"}}},
        {"bundle": RunBundle(indices="0-3")},
    ],
)
def test_what_is_special_goes_alone(alone: dict[str, Any]) -> None:
    waiting = [Waiting(number, task(**alone)) for number in range(2)]
    assert [len(one.members) for one in group(waiting, PACKING, "s1")] == [1, 1]


def test_a_native_job_is_as_large_as_what_runs_at_once() -> None:
    pack = shape_of([task(memory=10), task(memory=30), task(cpus=0.5, memory=None)], PACKING)
    assert (pack.slots, pack.cpus, pack.memory, pack.walltime) == (2, 2.0, 60, 2 * 60 + 10)
    bundle = shape_of([task(memory=10, bundle=RunBundle(indices="0-4", max_running=4))], PACKING)
    assert (bundle.slots, bundle.cpus, bundle.memory, bundle.walltime) == (2, 2.0, 20, 3 * 60 + 10)
    large = shape_of([task(cpus=8, gpus=2, walltime=1000)], PACKING)
    assert (large.slots, large.cpus, large.memory, large.gpus, large.walltime) == (1, 8.0, None, 2, 1010)


async def test_an_order_says_what_only_this_kind_understands() -> None:
    launch = await PlainLauncher().launch("n", "hpc")
    one = task(job_name="fold", options={"memory": {"partition": "long"}, "slurm": {"qos": "low"}})
    order = order_of("n", [one], shape_of([one], PACKING), launch, "memory")
    assert (order.title, order.options) == ("fold", {"partition": "long"})


def test_an_engine_of_a_sites_own_package_is_found() -> None:
    assert load("memory") is MemoryEngine
    assert {"local", "pull", "slurm", "memory"} <= set(kinds())


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"kind": "nonsense"}, "there is no 'nonsense'; there are: "),
        ({"kind": "local", "memory": {}}, "of kind 'local' has no memory"),
        ({"kind": "memory", "memory": {}}, "world"),
        ({"kind": "memory", "memory": 3}, "must be a mapping"),
        ({"kind": "memory", "memory": {"world": "x"}, "slurm": {}}, "has no slurm"),
        ({"kind": "memory", "memory": {"world": "x"}, "prefix": "Not-a-word"}, "prefix"),
        ({"kind": "memory", "memory": {"world": "x"}, "pack": {"most": 1}}, "most"),
    ],
)
def test_what_is_wrong_in_the_settings_is_said(said: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        BackendSettings.model_validate({"name": "hpc", **said})


def test_what_is_no_engine_cannot_be_loaded() -> None:
    with pytest.raises(InvalidError, match="there is no 'nonsense'"):
        load("nonsense")
