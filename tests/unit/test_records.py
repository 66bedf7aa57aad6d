"""What is written past the models says the same as the models would."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from contracts.envelope import Context, Envelope
from contracts.events import MessageParked
from contracts.queries import Reply
from contracts.spec import JobSpec
from contracts.workloads import Kind, OutputFile, Workload
from services.chassis.answers import Written, answer_of, written
from services.gateway.api.views import JobView
from services.gateway.links import Linker
from services.gateway.records import JobRecord, RecordPage
from services.scheduler.entrance import new_row
from services.scheduler.records import to_json, to_workload

_ID = "job-" + "0" * 32
_LINKER = Linker(temporal_ui="http://ui/", namespace="shunter")


def _row() -> dict[str, Any]:
    spec = JobSpec(argv=["echo", "Grüße {job}"], name="x", labels={"a": "b"}, env={"A": '"'})
    row = new_row(_ID, "ada", spec, [], Kind.JOB, "", None)
    row["finished_at"] = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    row["outputs"] = [OutputFile(path="out/ü", size=1, sha256="0" * 64).model_dump(mode="json")]
    return row


def test_a_written_record_is_what_the_model_writes() -> None:
    row = _row()
    assert orjson.loads(to_json(row)) == orjson.loads(to_workload(row).model_dump_json())


def test_what_the_gateway_passes_on_is_the_view_it_documents() -> None:
    row = _row()
    record, view = JobRecord(to_json(row)), JobView.of(to_workload(row), _LINKER)
    shown = record.with_links(_LINKER.json_of(record.id))
    assert orjson.loads(shown) == orjson.loads(view.model_dump_json())
    assert (record.revision, record.state, record.created_at) == (1, view.state, view.created_at)
    assert record.to_workload() == to_workload(row)


def test_a_page_is_passed_on_with_links_and_its_cursor() -> None:
    page = RecordPage(orjson.dumps({"items": [orjson.Fragment(to_json(_row()))], "next_cursor": "dzE"}))
    found = orjson.loads(page.with_links(_LINKER))
    assert found["next_cursor"] == page.next_cursor == "dzE"
    assert found["items"][0]["links"]["self"] == f"/v1/jobs/{_ID}"


@pytest.mark.parametrize("problem", [False, True])
def test_the_answer_is_taken_out_of_a_reply_only_if_there_is_one(problem: bool) -> None:
    row = _row()
    row["message"] = '"problem"' if problem else ""  # a word of a user's own must not mislead
    for reply in (written(Written(to_json(row))), written(to_workload(row))):
        answer = answer_of(reply)
        read = Reply[Workload].model_validate_json(reply).answer
        assert read == to_workload(row)
        assert answer is None or Workload.model_validate_json(answer) == read
    assert answer_of(b'{"problem":{"code":"not_found","detail":"no"}}') is None
    assert answer_of(b'{"answer":{"a":1},"problem":null}') is None
    assert answer_of(written(Written(b"[1]"))) == b"[1]"


def test_an_envelope_is_written_as_its_model_says() -> None:
    event = MessageParked(
        service="s", stream="COMMANDS", subject="x", sequence=1, deliveries=5, message_id="ü", error=""
    )
    envelope = Envelope.wrap(event, Context.start("service:s"), source="s", subject="x")
    assert orjson.loads(envelope.to_bytes()) == orjson.loads(envelope.model_dump_json(exclude_none=True))
    assert Envelope.from_bytes(envelope.to_bytes()) == envelope
