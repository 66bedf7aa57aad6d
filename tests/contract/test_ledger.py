"""The committed ledger and the contracts agree: nothing breaks, and nothing new goes unrecorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from contracts.batches import Batch, BatchSpec
from contracts.commands import COMMANDS, Command
from contracts.envelope import Envelope, type_of
from contracts.errors import Problem
from contracts.events import EVENTS
from contracts.files import Deleted, DownloadUrl, FileRecord, UploadPlan
from contracts.grants import Grant
from contracts.model import Message, Model
from contracts.queries import QUERIES, Query, Reply
from contracts.runs import ControlReply, ControlRun, RunReport, RunTask, RunTicket
from contracts.schedules import Schedule, ScheduleSpec
from contracts.spec import JobSpec
from contracts.usage import ReplayReport, UsageSummary
from contracts.workloads import Workload
from tests.support.ledger import breaks_between

SCHEMAS = Path(__file__).parents[2] / "contracts" / "schemas"
RUN_MESSAGES: tuple[type[Message], ...] = (RunTask, RunReport, ControlRun)
RECORDS: tuple[type[Model], ...] = (
    *(Envelope, Problem, JobSpec, Workload, FileRecord, UploadPlan, DownloadUrl, UsageSummary, ReplayReport),
    *(ControlReply, RunTicket, Deleted, Schedule, ScheduleSpec, Batch, BatchSpec, Grant),
)


def _message(kind: type[Message]) -> dict[str, Any]:
    return {"$id": type_of(kind), "x-message": kind.name, **kind.model_json_schema(mode="validation")}


def _query(kind: type[Query]) -> dict[str, Any]:
    # The answer is what others read: it is recorded as it is written.
    answer = TypeAdapter(kind.answer).json_schema(mode="serialization")
    schema = _message(kind)
    definitions = {**answer.pop("$defs", {}), **schema.pop("$defs", {}), f"{kind.__name__} answer": answer}
    return {**schema, "x-service": kind.service, "$defs": definitions}


def _record(kind: type[Model]) -> dict[str, Any]:
    return {"$id": f"org.shunter.record.{kind.__name__}", **kind.model_json_schema(mode="serialization")}


def _present() -> dict[str, dict[str, Any]]:
    """Return every schema by the name of its file."""
    found: dict[str, dict[str, Any]] = {}
    for command in COMMANDS:
        found[f"{command.name}.v{command.version}"] = {**_message(command), "x-service": command.service}
    for query in QUERIES:
        found[f"{query.name}.v{query.version}"] = _query(query)
    for message in (*EVENTS, *RUN_MESSAGES):
        found[f"{message.name}.v{message.version}"] = _message(message)
    for record in RECORDS:
        found[f"record.{record.__name__.lower()}.v1"] = _record(record)
    return found


def _text(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


PRESENT = _present()


@pytest.fixture(scope="module", autouse=True)
def updated(request: pytest.FixtureRequest) -> None:
    """Write the ledger anew where `--update-schemas` asks for it; what changes is what gets reviewed."""
    if request.config.getoption("--update-schemas"):
        SCHEMAS.mkdir(exist_ok=True)
        for path in SCHEMAS.glob("*.json"):
            path.unlink()
        for name, schema in PRESENT.items():
            (SCHEMAS / f"{name}.json").write_text(_text(schema))


@pytest.mark.parametrize("name", sorted(PRESENT))
def test_nobody_who_knows_the_recorded_contract_stumbles(name: str) -> None:
    path = SCHEMAS / f"{name}.json"
    assert path.exists(), f"{name} is not recorded; run: pytest tests/contract --update-schemas"
    breaks = breaks_between(json.loads(path.read_text()), PRESENT[name])
    assert not breaks, f"{name}: {', '.join(breaks)}"


@pytest.mark.parametrize("name", sorted(PRESENT))
def test_the_ledger_records_the_contract_as_it_is(name: str) -> None:
    recorded = (SCHEMAS / f"{name}.json").read_text()
    assert recorded == _text(PRESENT[name]), f"{name} has grown; run: pytest tests/contract --update-schemas"


def test_no_recorded_message_is_gone() -> None:
    gone = {path.name.removesuffix(".json") for path in SCHEMAS.glob("*.json")} - set(PRESENT)
    assert not gone, f"removed {', '.join(sorted(gone))}"


def _all_kinds(base: type[Message]) -> set[type[Message]]:
    found = {kind for kind in base.__subclasses__() if "name" in vars(kind)}
    return found.union(*(_all_kinds(kind) for kind in base.__subclasses__()))


def test_every_message_there_is_stands_in_a_list() -> None:
    listed = {*COMMANDS, *QUERIES, *EVENTS, *RUN_MESSAGES}
    ours = {kind for kind in _all_kinds(Message) if kind.__module__.startswith("contracts.")}
    assert {kind.__name__ for kind in ours - listed} == set()


def test_no_two_messages_share_a_name() -> None:
    kinds = (*COMMANDS, *QUERIES, *EVENTS, *RUN_MESSAGES)
    assert len({(kind.name, kind.version) for kind in kinds}) == len(kinds) == len(PRESENT) - len(RECORDS)


def test_a_reply_holds_an_answer_or_a_problem() -> None:
    assert set(Reply[Any].model_json_schema()["properties"]) == {"answer", "problem"}


def test_every_command_names_the_service_that_handles_it() -> None:
    services = {command.service for command in COMMANDS if issubclass(command, Command)}
    assert services <= {"scheduler", "storage", "accounting"}
