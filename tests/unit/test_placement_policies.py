"""Policies, constraints and what a dry run says of them: table-driven, on backends in memory."""

from __future__ import annotations

import time
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from contracts.backends import Drain
from contracts.errors import InvalidError
from contracts.runs import FrozenInput
from contracts.spec import JobSpec
from services.scheduler.backends.base import Capability
from services.scheduler.backends.facts import BackendFacts
from services.scheduler.backends.registry import Backends
from services.scheduler.placing.placer import NoTakerError, Placer
from services.scheduler.placing.ranking import bytes_to_move, price_of
from services.scheduler.placing.settings import PlacementSettings
from services.scheduler.placing.views import view_of
from services.scheduler.queue.books import Books, Pace
from services.scheduler.queue.demand import Demand
from services.scheduler.queue.lanes import LaneKey
from services.scheduler.queue.room import Rooms
from services.scheduler.settings import QueueSettings, SchedulerSection
from tests.support.backend import FakeBackend

MANY = frozenset({Capability.ARRAYS, Capability.GPUS, Capability.IMAGES, Capability.MULTI_NODE})

FACTS: dict[str, dict[str, Any]] = {
    "own": {"site": "basement", "cost": 0.01, "near": ["store"], "labels": {"privacy": "patients"}},
    "hpc": {"site": "campus", "cost": {"cpu_hour": 0.02, "gpu_hour": 0.5}, "walltime": "2h", "network": False},
    "cloud": {"site": "far", "cost": {"cpu_hour": 0.10, "gpu_hour": 0.1}},
}


def _backends() -> Backends:
    made = [
        FakeBackend("own", cpus=8, cpus_free=2),
        FakeBackend("hpc", cpus=64, cpus_free=10, capabilities=MANY, gpus=4, largest_gpus=4, largest_cpus=32.0),
        FakeBackend("cloud", cpus=1000, cpus_free=1000, capabilities=MANY, gpus=64, largest_gpus=8, largest_cpus=96.0),
    ]
    return Backends(made, {name: BackendFacts.model_validate(facts) for name, facts in FACTS.items()})


def _placer(**settings: Any) -> Placer:
    return Placer(_backends(), PlacementSettings.model_validate(settings))


def _spec(**spec: Any) -> JobSpec:
    return JobSpec.model_validate({"argv": ["true"], **spec})


def _input(size: int) -> FrozenInput:
    return FrozenInput(source="a", target="a", key="ada/1", size=size, sha256="0" * 64)


@pytest.mark.parametrize(
    ("policy", "spec", "expected", "ordered"),
    [
        ({}, {}, ["own", "hpc", "cloud"], False),
        ({"order": "emptiest", "backends": ["hpc", "own"]}, {}, ["own", "hpc"], False),
        ({"order": "ordered", "backends": ["hpc", "own"]}, {}, ["hpc", "own"], True),
        ({"order": "ordered", "backends": ["hpc", "own"]}, {"placement": {"backend": "cloud"}}, ["cloud"], False),
        ({"order": "pinned", "backends": ["hpc"]}, {}, ["hpc"], False),
        ({"order": "cheapest"}, {}, ["own", "hpc", "cloud"], True),
        # A GPU for an hour costs more on the cluster of the campus.
        ({"order": "cheapest"}, {"resources": {"cpus": 1, "gpus": {"count": 1}}}, ["cloud", "hpc"], True),
        ({"order": "cheapest", "denied": ["own"]}, {}, ["hpc", "cloud"], True),
        ({"allowed": ["cloud"]}, {}, ["cloud"], False),
        ({"sites": ["basement", "campus"]}, {}, ["own", "hpc"], False),
        ({"labels": {"privacy": "patients"}}, {}, ["own"], False),
        # Nothing has to be moved: all are alike.
        ({"order": "nearest"}, {}, ["own", "hpc", "cloud"], False),
    ],
)
async def test_the_policy_of_the_project_says_who_is_tried_and_in_which_order(
    policy: dict[str, Any], spec: dict[str, Any], expected: list[str], ordered: bool
) -> None:
    placer = _placer(projects={"vision": policy})
    ranking = await placer.require_possible(_spec(project="vision", **spec))
    assert (list(ranking.names), ranking.ordered) == (expected, ordered)
    # Others are not concerned.
    others = await placer.require_possible(_spec(**spec))
    assert not others.ordered


async def test_the_nearest_is_where_the_store_lies() -> None:
    placer = _placer(default={"order": "nearest"})
    ranking = await placer.require_possible(_spec(), [_input(10**9)])
    assert (ranking.names[0], ranking.ordered) == ("own", True)
    moved = [bytes_to_move(placer.backends.facts_of(name), placer.settings, 10**9) for name in ranking.names]
    assert moved == [0, 10**9, 10**9]
    beside = _placer(default={"order": "nearest"}, store_site="far")
    assert (await beside.require_possible(_spec(), [_input(1)])).names == ("own", "cloud", "hpc")


async def test_with_one_store_that_is_near_to_none_all_are_alike_and_it_says_so() -> None:
    ranking = await _placer(default={"order": "nearest"}, store="elsewhere").require_possible(_spec(), [_input(5)])
    assert not ranking.ordered
    assert "same to all" in ranking.why


def test_a_price_is_that_of_the_whole_walltime() -> None:
    facts = BackendFacts.model_validate({"cost": {"cpu_hour": 0.5, "gpu_hour": 2}})
    spec = _spec(resources={"processes": 2, "cpus": 4, "gpus": {"count": 1}, "walltime": "30m"})
    assert price_of(spec, facts) == pytest.approx(0.5 * (8 * 0.5 + 2 * 2))
    assert price_of(spec, BackendFacts()) == 0


@pytest.mark.parametrize(
    ("spec", "backend", "field", "words"),
    [
        ({"resources": {"cpus": 9}}, "own", "resources.cpus", "9 asked, 'own' has 8"),
        ({"resources": {"cpus": 3, "processes": 3}}, "own", "resources.cpus", "start together or not at all"),
        (
            {"resources": {"nodes": 2, "processes": 2}},
            "own",
            "resources.nodes",
            "ask for nodes: 1 and as many processes as fit there",
        ),
        ({"resources": {"memory": "32GiB"}}, "own", "resources.memory", "'own' has"),
        ({"resources": {"gpus": {"count": 1}}}, "own", "resources.gpus.count", "1 asked, 'own' has 0"),
        # Two nodes of 32: each holds half of the processes.
        ({"resources": {"nodes": 2, "processes": 4, "cpus": 17}}, "hpc", "resources.cpus", "34 asked"),
        ({"resources": {"nodes": 4, "processes": 4, "cpus": 32}}, "hpc", "resources.cpus", "128 asked by all"),
        ({"resources": {"walltime": "3h"}}, "hpc", "resources.walltime", "10800 s asked, 'hpc' gives 7200 s"),
        ({"placement": {"network": True}}, "hpc", "placement.network", "reach no other network"),
        ({"placement": {"sites": ["moon"]}}, "hpc", "placement.sites", "'hpc' stands at campus"),
        ({"placement": {"labels": {"privacy": "patients"}}}, "hpc", "placement.labels.privacy", "no such label"),
        ({"placement": {"labels": {"privacy": "none"}}}, "own", "placement.labels.privacy", "has privacy=patients"),
        ({"image": "debian"}, "own", "image", "runs no containers"),
    ],
)
async def test_hard_constraints_are_told_with_their_field(
    spec: dict[str, Any], backend: str, field: str, words: str
) -> None:
    wish = {**spec, "placement": {**spec.get("placement", {}), "backend": backend}}
    with pytest.raises(InvalidError) as caught:
        await _placer().require_possible(_spec(**wish))
    assert [error.field for error in caught.value.errors] == [field]
    assert words in caught.value.detail


@pytest.mark.parametrize(
    ("gpus", "field"),
    [
        ({"count": 1, "memory": "90GiB"}, "resources.gpus.memory"),
        ({"count": 1, "model": "a100", "memory": "41GiB"}, "resources.gpus.memory"),
        ({"count": 1, "architecture": "turing"}, "resources.gpus.architecture"),
        ({"count": 1, "model": "a100", "architecture": "hopper"}, "resources.gpus.architecture"),
        ({"count": 1, "model": "v100"}, "resources.gpus.model"),
        ({"count": 1, "model": "a100", "memory": "40GiB", "architecture": "Ampere"}, None),
        ({"count": 1, "memory": "60GiB"}, None),
    ],
)
async def test_gpus_are_what_the_site_says_of_them(gpus: dict[str, Any], field: str | None) -> None:
    kinds = {
        "NVIDIA A100": {"memory": "40GiB", "architecture": "ampere"},
        "NVIDIA H100": {"memory": "80GiB", "architecture": "hopper"},
    }
    backend = FakeBackend("hpc", gpus=4, largest_gpus=4)
    placer = Placer(Backends([backend], {"hpc": BackendFacts.model_validate({"gpus": kinds})}))
    if field is None:
        assert (await placer.require_possible(_spec(resources={"gpus": gpus}))).names == ("hpc",)
        return
    with pytest.raises(InvalidError) as caught:
        await placer.require_possible(_spec(resources={"gpus": gpus}))
    assert [error.field for error in caught.value.errors] == [field]


class _Options(BaseModel):
    partition: str


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"fake": {"partition": "long"}}, None),
        ({"other": {"queue": "long"}}, None),
        ({"fake": {"partition": 7}}, "placement.options.fake.partition"),
        ({"fake": {"partition": "long", "queue": "x"}}, "placement.options.fake.queue"),
    ],
)
async def test_what_is_said_to_its_kind_must_make_sense_there(options: dict[str, Any], field: str | None) -> None:
    backend, deaf = FakeBackend("hpc"), FakeBackend("deaf")
    backend.options = _Options
    spec = _spec(placement={"backend": "hpc", "options": options})
    if field is None:
        assert (await Placer(Backends([backend])).require_possible(spec)).names == ("hpc",)
        return
    with pytest.raises(InvalidError) as caught:
        await Placer(Backends([backend])).require_possible(spec)
    assert [error.field for error in caught.value.errors] == [field]
    with pytest.raises(InvalidError, match="nothing to be said"):
        await Placer(Backends([deaf])).require_possible(_spec(placement={"options": options}))


@pytest.mark.parametrize(
    ("policy", "placement"),
    [
        ({"denied": ["cloud"]}, {"backend": "cloud"}),
        ({"allowed": ["own"]}, {"backend": "cloud"}),
        ({"order": "pinned", "backends": ["own"]}, {"backend": "cloud"}),
        ({"allowed": ["own"]}, {"backends": ["cloud", "hpc"]}),
    ],
)
async def test_where_a_project_may_not_go_it_does_not_go_by_name_either(
    policy: dict[str, Any], placement: dict[str, Any]
) -> None:
    with pytest.raises(InvalidError, match="the site lets jobs without a project not go to 'cloud'"):
        await _placer(default=policy).require_possible(_spec(placement=placement))


async def test_who_is_drained_gets_nothing_but_of_all_that_are_one_is_waited_for() -> None:
    placer = _placer(default={"order": "cheapest"})
    placer.backends.drains = {"own": Drain(by="root")}
    chosen = await placer.choose(_spec())
    assert chosen
    assert chosen.name == "hpc"
    placer.backends.drains |= {"hpc": Drain(by="root"), "cloud": Drain(by="root")}
    with pytest.raises(NoTakerError):
        await placer.choose(_spec())


async def test_what_refused_it_is_not_asked_again() -> None:
    placer = _placer(default={"order": "cheapest"})
    chosen = await placer.choose(_spec(), refused=["own"], tried=["hpc"])
    assert chosen
    assert chosen.name == "cloud"
    assert await placer.choose(_spec(), refused=["own", "hpc", "cloud"]) is None
    assert await placer.others(_spec(), "own", not_on=["hpc"]) == ["cloud"]
    assert await placer.others(_spec(placement={"backend": "own"}), "own") == []


async def test_patience_is_the_jobs_own_or_that_of_its_project() -> None:
    placer = _placer(default={"patience": "10m"}, projects={"calm": {}})
    assert placer.patience(_spec()) == 600
    assert placer.patience(_spec(project="calm")) is None
    assert placer.patience(_spec(project="calm", placement={"patience": 5})) == 5
    assert placer.patience(_spec(placement={"backend": "own"})) is None
    moved = await placer.next_after(_spec(), "own")
    assert moved
    assert moved.name == "cloud"  # the emptiest of the others


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"placement": {"default": {"order": "ordered"}}}, "needs backends"),
        ({"placement": {"default": {"order": "pinned", "backends": ["local", "local"]}}}, "pinned is to one"),
        ({"placement": {"projects": {"vision": {"allowed": ["hpc"]}}}}, "there is no backend 'hpc'"),
        ({"placement": {"default": {"order": "dearest"}}}, "order"),
        ({"backends": []}, "backends"),
        ({"backends": [{"name": "a"}, {"name": "a"}]}, "stands there twice"),
        ({"backends": [{"name": "a", "kind": "locall"}]}, "there is no 'locall'"),
        ({"backends": [{"name": "a", "walltme": "2h"}]}, "walltme"),
        ({"backends": [{"name": "a", "cost": -1}]}, "cost"),
    ],
)
def test_settings_that_make_no_sense_are_refused(section: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        SchedulerSection.model_validate(section)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("room", "free"),
    [
        ({"gpu_models": ("a100",)}, {"a100": 3}),
        ({"gpu_models": ("a100", "h100")}, {}),
        ({"gpu_models": ("a100", "h100"), "gpus_free_of": (("a100", 1), ("h100", 2))}, {"a100": 1, "h100": 2}),
    ],
)
async def test_users_see_what_is_free_of_each_model_of_gpu(room: dict[str, Any], free: dict[str, int]) -> None:
    backends = Backends([FakeBackend("hpc", gpus=4, gpus_free=3, **room)])
    view = view_of(await backends.standing(backends.require("hpc")))
    assert (view.gpus_free, view.gpus_free_of) == (3, free)


@pytest.mark.parametrize(("wanted", "expected"), [(1, "hpc"), (2, "own"), (4, "hpc")])
async def test_of_an_ordered_list_the_first_that_begins_at_once_is_taken_else_one_with_a_queue(
    wanted: int, expected: str
) -> None:
    # Others hold the rest of the cluster; it would queue whatever it is given.
    cluster, own = FakeBackend("hpc", cpus=64, cpus_free=1), FakeBackend("own", cpus=3, cpus_free=3)
    cluster.queue = 1000
    backends, settings = Backends([cluster, own]), QueueSettings(ahead=0, at_least=0)
    await backends.standings()
    rooms = Rooms(backends, Books(), Pace(time.monotonic), settings)
    key = LaneKey("ada", "", 0, ("hpc", "own"), ordered=True)
    assert rooms.choose(key, Demand(1, wanted)) == expected
    backends.drains = {"hpc": Drain(by="root")}
    assert rooms.choose(key, Demand(1, wanted)) == ("own" if wanted <= 3 else None)
