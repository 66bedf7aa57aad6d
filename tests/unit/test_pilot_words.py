"""The pilot imports nothing of ours, and yet hears and says what the contracts do."""

from __future__ import annotations

import ast
import json
import time
from pathlib import Path

import pytest

from contracts import subjects as ours
from contracts.arrays import fill as fill_ours
from contracts.commands import CompleteUpload
from contracts.envelope import Envelope
from contracts.files import PartDone
from contracts.ids import workload_id
from contracts.pilots import NextTask, PilotOrders, PilotTerms, RunEnding
from contracts.queries import DownloadRunInputs, OpenRunUpload
from contracts.ranges import Ranges
from contracts.runs import FrozenInput, RunReport, RunTask
from contracts.spec import Input, Output
from contracts.states import Reason
from contracts.subjects import log_subject, pilot_inbox, pilot_subject, query_subject, report_subject, subject_of
from services.scheduler.pilot import subjects, words
from services.scheduler.pilot.bundle_texts import fill
from services.scheduler.pilot.ranges import numbers_of

_JOB = workload_id()
_SOURCES = sorted((Path(__file__).parents[2] / "services/scheduler/pilot").glob("*.py"))


def _a_task() -> RunTask:
    frozen = FrozenInput(source="a", target="in/a", key="ada/1", size=3, sha256="0" * 64)
    return RunTask(
        workload_id=_JOB,
        attempt=2,
        owner="ada",
        argv=["sh", "-c", "true"],
        env={"A": "b"},
        inherit_env=False,
        files="/files",
        inputs=[frozen],
        outputs=[Output(path="out", required=False, to="results")],
        cpus=0.5,
        memory=10,
        gpus=1,
        gpu_model="a100",
        nodes=2,
        processes=3,
        walltime=5.0,
        ticket="ticket",
        traceparent="00-1-2-01",
        bundle={
            "indices": "1-2",
            "attempts": {2: 3},
            "items": ["x", "y"],
            "max_running": 1,
            "inputs": {"in-1": frozen},
            "sources": [Input(source="in-{index}")],
        },
    )


def test_it_hears_all_that_orders_say() -> None:
    said = PilotOrders(
        backend="hpc",
        task=_a_task(),
        more=True,
        end=[RunEnding(workload_id=_JOB, attempt=1, reason=Reason.CANCELED), RunEnding(workload_id=_JOB, attempt=2)],
        terms=PilotTerms(slots=3, mpirun="srun"),
    )
    heard = words.Orders.of({**json.loads(said.model_dump_json()), "of_tomorrow": 1})
    task, wanted = heard.task, said.task
    assert task
    assert wanted
    same = set(vars(task)) - {"inputs", "outputs", "bundle"}
    assert {name: getattr(task, name) for name in same} == {name: getattr(wanted, name) for name in same}
    assert vars(task.inputs[0]) == wanted.inputs[0].model_dump()
    assert vars(task.outputs[0]) == wanted.outputs[0].model_dump()
    assert task.bundle
    assert (task.bundle.indices, task.bundle.attempts, task.bundle.items) == ("1-2", {"2": 3}, ["x", "y"])
    assert vars(heard.terms) == said.terms.model_dump()
    assert [(one.name, one.reason) for one in heard.end] == [(f"{_JOB}.1", "canceled"), (f"{_JOB}.2", None)]
    assert (heard.backend, heard.more, heard.over) == ("hpc", True, False)


def test_its_terms_are_those_of_the_contract() -> None:
    assert vars(words.Terms()) == PilotTerms().model_dump()


def test_its_reports_are_reports() -> None:
    usage = words.Usage(1.0, 2.0, 3, 4.0, 5)
    file = words.OutputFile("outputs/a", 0, "0" * 64, "results/a")
    log = words.TaskLog(1, "stdout", 1, 0, 3)
    at = words.stamp(time.time())
    room = words.Allocation("hpc", "n1", 1.0, 2, 1, "a100", [0])
    fact = words.TaskFact(3, 1, "failed", "exited", "why", 1, at, at, usage, "a100", [file], [log])
    steps = [
        words.Step("starting", at, allocation=room),
        words.Step("running", at, allocation=words.Allocation("hpc")),
        words.Step("alive", at, usage=words.Usage()),
        words.Step("tasks", at, allocation=room, tasks=[fact]),
        words.Step("exited", at, exit_code=0, usage=usage),
        words.Step("done", at, reason="exited", message="m", exit_code=0, outputs=[file], logs=[file]),
    ]
    raw = {"workload_id": _JOB, "attempt": 1, "number": 1, "runner": "n", "native_id": "n", "steps": steps}
    report = RunReport.model_validate(words.as_json({**raw, "steps": words.as_json(steps)}))
    assert [step.step.value for step in report.steps] == [step.step for step in steps]
    heard = report.steps[3].tasks[0]
    assert heard.usage
    assert (heard.usage.memory_peak, heard.logs[0].size, heard.outputs[0].at) == (3, 3, "results/a")
    assert report.steps[4].exit_code == 0
    assert report.steps[0].allocation
    assert report.steps[0].allocation.gpu_indices == [0]


def test_its_questions_are_questions() -> None:
    NextTask.model_validate({"token": "t", "incarnation": "0" * 32, "number": 0, "node": "n1"})
    RunEnding.model_validate({"workload_id": _JOB, "attempt": 1, "tasks": "1-2"})
    OpenRunUpload.model_validate({"ticket": "t", "path": "outputs/a", "size": 0, "sha256": "0" * 64})
    item = words.FrozenInput("a", "b", "ada/1", 0, "0" * 64)
    DownloadRunInputs.model_validate({"ticket": "t", "inputs": words.as_json([item])})
    parts = [PartDone(number=1, etag="e").model_dump(exclude_none=True)]
    assert CompleteUpload.model_validate({"ticket": "t", "parts": parts}).parts[0].etag == "e"


def test_its_command_is_one(pilot_command: dict[str, object]) -> None:
    envelope = Envelope.from_bytes(json.dumps(pilot_command).encode())
    assert envelope.type == "org.shunter.upload.complete.v1"
    assert envelope.unwrap(CompleteUpload).ticket == "t"


@pytest.fixture
def pilot_command() -> dict[str, object]:
    from services.scheduler.pilot.transfer import command

    return command("t", [{"number": 1, "etag": "e"}], None)


def test_its_subjects_are_those_of_the_contracts() -> None:
    assert subjects.report(_JOB, 2) == report_subject(_JOB, 2)
    assert subjects.log(_JOB, 2, "stdout") == log_subject(_JOB, 2, "stdout")
    assert subjects.control("n") == pilot_subject("n")
    assert subjects.inbox("n") == pilot_inbox("n")
    assert query_subject(NextTask) == subjects.NEXT
    assert query_subject(DownloadRunInputs) == subjects.DOWNLOAD
    assert query_subject(OpenRunUpload) == subjects.UPLOAD
    assert subject_of(CompleteUpload(ticket="")) == subjects.COMPLETE
    assert {stream.name for stream in ours.STREAMS} >= {"RUNS", "LOGS"}


@pytest.mark.parametrize("text", ["3", "0-2,7", "7,3-4"])
def test_numbers_are_read_as_elsewhere(text: str) -> None:
    assert numbers_of(text) == list(Ranges.parse(text))


@pytest.mark.parametrize("text", ["{index}/{item}", "{other} {", "plain", "{item}{item}"])
def test_places_are_filled_as_elsewhere(text: str) -> None:
    for item in (None, "word"):
        assert fill(text, 3, item) == fill_ours(text, 3, item)


@pytest.mark.parametrize("path", _SOURCES, ids=lambda path: path.name)
def test_old_pythons_can_read_it(path: Path) -> None:
    ast.parse(path.read_text(), feature_version=(3, 9))
