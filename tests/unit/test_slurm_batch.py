"""Orders become jobs and arrays of Slurm: pure."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import InvalidError
from services.scheduler.backends.engines.base import Launch, Order
from services.scheduler.backends.engines.slurm.batch import Batch, Limits, batches_of
from services.scheduler.backends.engines.slurm.choices import choose
from services.scheduler.backends.engines.slurm.names import comment_of, names_of, portions
from services.scheduler.backends.engines.slurm.settings import SlurmSettings

_GIB = 2**30
_SETTINGS = SlurmSettings(work="/shared/shunter")
_LIMITS = Limits(site="s1", last_words=60, over_time=0, largest_array=1001, partitions={"": None, "short": 10})


def _order(name: str = "s1-a-1", **more: object) -> Order:
    launch = Launch("#!/bin/sh\nexec pilot\n", {"SHUNTER_PILOT_NAME": name, "SHUNTER_NATS_URL": "nats://n"}, Path("/p"))
    order = Order(name, "ada", "lab", "train", launch, cpus=1, memory=None, gpus=0, walltime=600)
    return replace(order, **more)  # type: ignore[arg-type]


def _batch(order: Order, settings: SlurmSettings = _SETTINGS, limits: Limits = _LIMITS) -> Batch:
    (batch,) = batches_of([(order, choose(order, settings))], limits)
    return batch


def test_room_is_counted_for_each_node() -> None:
    batch = _batch(_order(nodes=2, processes=5, cpus=1.5, memory=2 * _GIB, gpus=1, gpu_model="a100"))
    assert (batch.nodes, batch.processes, batch.processes_per_node, batch.cpus) == (2, 5, 3, 2)
    assert batch.memory == 3 * 2048
    assert batch.gres == "gpu:a100:3"


def test_every_node_has_a_process() -> None:
    assert _batch(_order(nodes=3, processes=1)).processes == 3


def test_other_resources_stand_beside_the_gpus() -> None:
    order = _order(gpus=2, options={"gres": "nvme:1", "exclusive": True})
    assert _batch(order).gres == "gpu:2,nvme:1"


def test_the_limit_leaves_time_for_the_last_words_and_for_slurms_inexactness() -> None:
    batch = _batch(_order(walltime=600))
    assert (batch.minutes, batch.warn) == (12, 60)
    assert batch.minutes * 60 - batch.warn - 60 >= 600


def test_a_job_as_long_as_its_partition_allows_fits_into_it() -> None:
    batch = _batch(_order(walltime=600, options={"partition": "short"}))
    assert batch.minutes == 10
    assert _batch(_order(walltime=1200, options={"partition": "short"})).minutes == 22  # which Slurm refuses


def test_where_slurm_lets_jobs_run_over_nothing_is_added() -> None:
    batch = _batch(_order(walltime=600), limits=replace(_LIMITS, over_time=1))
    assert (batch.minutes, batch.warn) == (10, 0)


def test_orders_of_one_shape_are_one_array_and_others_are_not() -> None:
    alike = [_order(f"s1-a{number}-1") for number in range(5)]
    others = [_order("s1-b-1", owner="bob"), _order("s1-c-1", cpus=2), _order("s1-d-1", options={"qos": "fast"})]
    chosen = [(order, choose(order, _SETTINGS)) for order in [*alike, *others]]
    found = list(batches_of(chosen, _LIMITS))
    assert [[order.name for order in batch.orders] for batch in found] == [
        [f"s1-a{number}-1" for number in range(5)],
        ["s1-b-1"],
        ["s1-c-1"],
        ["s1-d-1"],
    ]
    assert found[0].tasks == 5
    assert found[0].native_ids("7", 5) == ["7_0@5", "7_1@5", "7_2@5", "7_3@5", "7_4@5"]
    assert (found[1].tasks, found[1].native_ids("8", 0)) == (0, ["8"])


def test_a_task_has_its_own_variables_and_none_of_the_others(tmp_path: Path) -> None:
    script = "#!/bin/sh\nenv\n"
    orders = [_order(f"s1-a{number}-1") for number in range(3)]
    secrets = [{"SHUNTER_PILOT_TOKEN": f"it's $secret {number}", "SHUNTER_NATS_URL": "nats://n"} for number in range(3)]
    orders = [
        replace(order, launch=Launch(script, env, Path("/p"))) for order, env in zip(orders, secrets, strict=True)
    ]
    (batch,) = batches_of([(order, choose(order, _SETTINGS)) for order in orders], _LIMITS)
    assert "secret" not in batch.script
    program = tmp_path / "script"
    program.write_text(batch.script)
    for number in range(3):
        env = {**batch.env, "SLURM_ARRAY_TASK_ID": str(number), "PATH": "/usr/bin:/bin"}
        said = subprocess.run(["/bin/sh", program], env=env, capture_output=True, text=True, check=True).stdout
        assert [line for line in said.splitlines() if "secret" in line] == [
            f"SHUNTER_PILOT_TOKEN=it's $secret {number}"
        ]
        assert "SHUNTER_NATS_URL=nats://n" in said.splitlines()


def test_the_site_says_who_pays_and_what_may_be_chosen() -> None:
    settings = SlurmSettings(
        work="/w",
        defaults={"partition": "main", "qos": "normal"},
        accounts={"lab": "a-lab"},
        allowed={"partition": ["main", "gpu"], "exclusive": []},
    )
    options = choose(_order(options={"partition": "gpu"}), settings).options
    assert (options.partition, options.qos, options.account) == ("gpu", "normal", "a-lab")
    assert choose(_order(options={"account": "mine"}), settings).options.account == "mine"
    for wrong in ({"partition": "secret"}, {"exclusive": True}, {"wrap": "x"}, {"qos": "a b"}, {"nodelist": "-x"}):
        with pytest.raises(InvalidError, match=rf"placement\.options\.slurm\.{next(iter(wrong))}"):
            choose(_order(options=wrong), settings)


def test_gpus_are_called_as_slurm_calls_them() -> None:
    gpus = {"a100": {"models": ["NVIDIA A100"], "memory": "80GiB"}, "l4": {"memory": "24GiB"}}
    settings = SlurmSettings.model_validate({"work": "/w", "gpus": gpus})
    assert choose(_order(gpus=1, gpu_model="nvidia a100"), settings).gpu == "a100"
    assert choose(_order(gpus=1, gpu_model="H100"), settings).gpu == "H100"
    assert choose(_order(gpus=1, gpu_memory=20 * _GIB), settings).gpu == "l4"
    assert choose(_order(gpus=1, gpu_memory=40 * _GIB), settings).gpu == "a100"
    assert choose(_order(gpu_memory=40 * _GIB), settings).gpu == ""
    with pytest.raises(InvalidError, match=r"resources\.gpus\.memory"):
        choose(_order(gpus=1, gpu_model="l4", gpu_memory=40 * _GIB), settings)


def test_runs_on_several_nodes_work_where_all_see_them() -> None:
    settings = SlurmSettings(work="/shared", scratch="/local", python="/opt/python3")
    assert choose(_order(nodes=2), settings).env == {
        "SHUNTER_PILOT_WORK": "/shared/runs",
        "SHUNTER_PILOT_PYTHON": "/opt/python3",
    }
    assert choose(_order(), settings).env["SHUNTER_PILOT_WORK"] == "/local"


@given(st.lists(st.from_regex(r"s1-[a-z0-9]{1,40}", fullmatch=True), min_size=2, max_size=200, unique=True))
def test_names_are_found_again_in_comments_that_slurm_takes(names: list[str]) -> None:
    begin = 0
    for count in portions("s1", names, 1000):
        some = names[begin : begin + count]
        comment = comment_of("s1", some)
        assert names_of(comment) == tuple(some)
        assert len(comment) <= 1024
        begin += count
    assert begin == len(names)


def test_a_comment_of_somebody_else_names_nothing() -> None:
    assert names_of("") == names_of("s1") == names_of("my own words here") == ()
