"""What is said to Slurm's commands and what their recorded answers mean: pure."""

from __future__ import annotations

import json
import math
import subprocess
from pathlib import Path
from time import thread_time

import pytest

from contracts.errors import RefusedError, UnavailableError
from contracts.states import Reason
from services.scheduler.backends.engines.base import Launch, NativeState, Order
from services.scheduler.backends.engines.slurm import calls
from services.scheduler.backends.engines.slurm.batch import Limits, batches_of
from services.scheduler.backends.engines.slurm.calls import Answer, Call
from services.scheduler.backends.engines.slurm.choices import choose
from services.scheduler.backends.engines.slurm.facts import minutes_of, read_config
from services.scheduler.backends.engines.slurm.nodes import capacity_of, limits_of, parse_nodes, read_gpus
from services.scheduler.backends.engines.slurm.register import Register
from services.scheduler.backends.engines.slurm.rows import Row, expand, seen_of
from services.scheduler.backends.engines.slurm.settings import SlurmSettings
from services.scheduler.backends.engines.slurm.ssh import program_of

_TOLD = Path(__file__).parents[1] / "data" / "transcripts" / "slurm"
_ERRORS: dict[str, str] = json.loads((_TOLD / "errors.json").read_text())
_SECRET = "s3cret"
_AT_10 = 1795722010
_ARRAY = [f"s1-array-{index}" for index in range(6)]


def _call(count: int = 1, **more: object) -> Call:
    launch = Launch("#!/bin/sh\npilot\n", {"SHUNTER_PILOT_TOKEN": _SECRET}, Path("/p"))
    orders = [Order(f"s1-{n}-1", "ada", "lab", "t", launch, 1, None, 0, 600, **more) for n in range(count)]  # type: ignore[arg-type]
    settings = SlurmSettings(work="/w")
    limits = Limits(site="s1", last_words=60, over_time=0, largest_array=1001, partitions={})
    (batch,) = batches_of([(order, choose(order, settings)) for order in orders], limits)
    return calls.submit(batch, "/w")


def _queue() -> list[Row]:
    lines = (_TOLD / "queue.txt").read_text().splitlines()
    return [row for row in map(calls.parse_row, lines) if row]


def test_a_job_is_one_call_of_sbatch() -> None:
    call = _call(nodes=2, processes=4, options={"partition": "gpu", "account": "lab", "qos": "fast", "exclusive": True})
    assert call.argv == (
        *("sbatch", "--parsable", "--no-requeue", "--exclusive", "--job-name=s1-0-1", "--comment=s1", "--chdir=/w"),
        *("--output=/w/logs/%j.log", "--nodes=2", "--ntasks=4", "--ntasks-per-node=2", "--cpus-per-task=1"),
        *("--time=12", "--signal=B:TERM@60", "--export=ALL", "--partition=gpu", "--account=lab", "--qos=fast"),
    )
    assert call.stdin == "#!/bin/sh\npilot\n"


def test_many_are_one_call_too() -> None:
    call = _call(3, priority=-5)
    assert "--array=0-2" in call.argv
    assert "--comment=s1 tasks s1- 0-1,1-1,2-1" in call.argv
    assert "--output=/w/logs/%A_%a.log" in call.argv
    assert "--nice=5" in call.argv


@pytest.mark.parametrize("count", [1, 3])
def test_secrets_are_in_the_environment_only(count: int) -> None:
    call = _call(count)
    assert _SECRET not in " ".join(call.argv) + call.stdin
    assert _SECRET in " ".join(call.env.values())


def test_over_ssh_everything_goes_in_by_standard_input() -> None:
    words = {"LINE": "it's $HOME\nand more"}
    call = Call(("printenv", "LINE"), env=words)
    program = program_of(call, {"SLURM_CONF": "/c"}, None)
    assert subprocess.run(["sh"], input=program, capture_output=True, text=True, check=True).stdout == (
        "it's $HOME\nand more\n"
    )
    script = "#!/bin/sh\necho $(date) 'x' \\ y\n"
    assert (
        subprocess.run(
            ["sh"], input=program_of(Call(("cat",), script), {}, "/bin"), capture_output=True, text=True, check=True
        ).stdout
        == script
    )


def test_the_number_of_a_job_is_read() -> None:
    assert calls.parse_submitted(Answer("12\n", "", 0)) == "12"
    assert calls.parse_submitted(Answer("Welcome to the cluster!\n12;test\n", "", 0)) == "12"
    with pytest.raises(UnavailableError):
        calls.parse_submitted(Answer("", "", 0))


@pytest.mark.parametrize("what", [key for key in _ERRORS if not key.startswith("away") and key != "closed"])
def test_a_bad_job_is_refused_in_slurms_own_words(what: str) -> None:
    with pytest.raises(RefusedError) as refused:
        calls.parse_submitted(Answer("", _ERRORS[what], 1))
    last = _ERRORS[what].strip().splitlines()[-1].removeprefix("sbatch: error: ")
    assert refused.value.detail.endswith(last)
    assert "sbatch" not in refused.value.detail


@pytest.mark.parametrize(
    "said",
    [
        _ERRORS["away-sbatch"],
        (
            "sbatch: error: QOSMaxSubmitJobPerUserLimit\nsbatch: error: Batch job submission failed: Job violates "
            "accounting/QOS policy (job submit limit, user's size and/or time limits)\n"
        ),
        "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation\n",
        "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying\n",
        "",
    ],
)
def test_a_bad_day_is_not_the_jobs_fault(said: str) -> None:
    with pytest.raises(UnavailableError):
        calls.parse_submitted(Answer("", said, 1))


@pytest.mark.parametrize("command", ["squeue", "sinfo"])
def test_questions_fail_only_when_slurm_is_away(command: str) -> None:
    with pytest.raises(UnavailableError, match="Unable to contact slurm controller"):
        Answer("", _ERRORS[f"away-{command}"], 1).expect(command)


def test_the_queue_says_how_each_stands() -> None:
    register = Register("s1")
    register.note("10", _AT_10, _ARRAY)
    found = register.read(_queue(), ()).found
    ended = NativeState.ENDED
    assert {name: (seen.state, seen.ending) for name, seen in found.items()} == {
        "s1-x": (NativeState.WAITING, None),
        "s1-canceled": (ended, Reason.CANCELED),
        "s1-done": (ended, None),
        "s1-bad": (ended, None),
        "s1-signal": (ended, None),
        "s1-preempted": (NativeState.WAITING, None),
        "s1-held": (NativeState.WAITING, None),
        "s1-toolong": (ended, Reason.REFUSED),
        "s1-urgent": (ended, Reason.CANCELED),
        "s1-nodefail": (ended, Reason.LOST),
        **{f"s1-array-{index}": (ended, Reason.INTERRUPTED) for index in range(2)},
        **{f"s1-array-{index}": (ended, Reason.CANCELED) for index in range(2, 6)},
    }
    assert [found[name].exit_code for name in ("s1-done", "s1-bad", "s1-signal", "s1-canceled")] == [0, 3, 137, None]
    assert (found["s1-array-4"].native_id, found["s1-array-0"].node) == (f"10_4@{_AT_10}", "n2")
    assert found["s1-x"].reason == "PartitionDown"
    assert found["s1-toolong"].reason == "Slurm will not start it: PartitionTimeLimit"


@pytest.mark.parametrize(
    ("state", "ending"),
    [
        ("TIMEOUT", Reason.WALLTIME),
        ("DEADLINE", Reason.WALLTIME),
        ("OUT_OF_MEMORY", Reason.MEMORY),
        ("BOOT_FAIL", Reason.LOST),
        ("REVOKED", Reason.LOST),
        ("CANCELLED by 1000", Reason.CANCELED),
    ],
)
def test_every_end_has_its_reason(state: str, ending: Reason) -> None:
    seen = seen_of(Row("7", "s1-a", state, 0, 0, "n1", "None"), "s1-a", "7")
    assert (seen.state, seen.ending) == (NativeState.ENDED, ending)


def test_what_slurm_started_again_is_over_for_us() -> None:
    for state in ("PENDING", "RUNNING"):
        seen = seen_of(Row("7", "s1-a", state, 0, 1, "", "BeginTime"), "s1-a", "7")
        assert (seen.state, seen.ending) == (NativeState.ENDED, Reason.INTERRUPTED)


def test_lists_of_tasks_are_spelled_out() -> None:
    assert list(expand("7")) == ["7"]
    assert list(expand("7_3")) == ["7_3"]
    assert list(expand("7_[0-2,5,8-12:2%4]")) == ["7_0", "7_1", "7_2", "7_5", "7_8", "7_10", "7_12"]


def test_jobs_of_others_are_not_ours() -> None:
    rows = [Row("1", name, "RUNNING", 0, 0, "n1", "") for name in ("s1", "s12-a", "bash", "s1-a")]
    assert list(Register("s1").read(rows, ()).found) == ["s1-a"]


def test_room_is_what_the_nodes_that_are_up_have() -> None:
    nodes = list(parse_nodes((_TOLD / "nodes.txt").read_text()))
    capacity = capacity_of(nodes, running=1, queued=2)
    assert (capacity.cpus, capacity.cpus_free, capacity.largest_cpus) == (8, 5, 4)
    assert (capacity.memory, capacity.memory_free) == (8000 * 2**20, 7000 * 2**20)
    assert (capacity.gpus, capacity.gpus_free, capacity.gpu_models, capacity.largest_gpus) == (4, 3, ("a100",), 2)
    assert limits_of(nodes) == {"main": None, "": None, "short": 10, "urgent": None, "closed": None}


def test_a_cluster_without_a_node_says_why() -> None:
    nodes = list(parse_nodes((_TOLD / "nodes-down.txt").read_text()))
    with pytest.raises(UnavailableError, match=r"n1 is drained.* \(new disk \| soon\); n2 is down\*.*Not responding"):
        capacity_of(nodes, running=0, queued=0)


def test_gpus_are_read_with_and_without_a_type() -> None:
    assert read_gpus("gpu:a100:2(S:0-1),nvme:4,gpu:l4:1") == {"a100": 2, "l4": 1}
    assert read_gpus("gpu:2(IDX:0-1)") == {"": 2}
    assert read_gpus("gpu:4") == {"": 4}
    assert read_gpus("(null)") == read_gpus("gpu_mem:80") == {}


def test_the_configuration_is_read() -> None:
    facts = read_config((_TOLD / "config.txt").read_text())
    assert (facts.over_time, facts.largest_array, facts.has_accounting, facts.has_completions) == (0, 1001, False, True)
    assert (facts.kept, read_config("MinJobAge = 0 sec").kept) == (300, math.inf)
    assert read_config("OverTimeLimit = UNLIMITED\nAccountingStorageType = accounting_storage/slurmdbd").has_accounting
    assert [minutes_of(word) for word in ("10:00", "1-00:00:00", "2:30:00", "infinite")] == [10, 1440, 150, None]


def test_ten_thousand_lines_are_read_in_a_moment() -> None:
    """By the CPU of this thread: how long others have the cores meanwhile says nothing of it."""
    lines = [f"{n}|{n}|s1-{n:032x}-1|{'RUNNING' if n % 2 else 'PENDING'}|0|0|n{n % 900}|None" for n in range(10_000)]
    begun = thread_time()
    rows = [row for row in map(calls.parse_row, lines) if row]
    register = Register("s1")
    first = register.read(rows, ()).found
    taken = thread_time() - begun
    begun = thread_time()
    again = register.read(rows, ()).found
    taken_again = thread_time() - begun
    assert len(first) == len(again) == 10_000
    assert taken < 1.0, f"{taken * 1000:.0f} ms"
    assert taken_again < taken
