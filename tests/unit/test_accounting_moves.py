"""Reading moves out of envelopes."""

from __future__ import annotations

import json

import pytest

from contracts.envelope import Context, Envelope
from contracts.errors import InvalidError
from contracts.events import Event, FileDeleted
from services.accounting.moves import SUBJECTS, read_move
from tests.support.usage_events import NOON, closing_move, opening_move, plain_move

CONTEXT = Context.start("user:ada")


def wrapped(event: Event) -> bytes:
    return Envelope.wrap(event, CONTEXT, source="scheduler", subject=event.subject_id).to_bytes()


def test_every_event_that_can_open_or_close_a_segment_is_read() -> None:
    read = {subject.split(".")[2] for subject in SUBJECTS}
    assert all(subject.startswith("events.workload.") and subject.endswith(".*") for subject in SUBJECTS)
    assert read == {"starting", "running", "finishing", "queued", "failed", "canceled", "lost", "tasksmoved"}


@pytest.mark.parametrize("move", [opening_move(gpus=2, gpu_model="H200"), closing_move()])
def test_a_move_that_opens_or_closes_is_read_whole(move: Event) -> None:
    assert read_move(wrapped(move)) == move


def test_other_events_are_passed_over() -> None:
    assert read_move(wrapped(plain_move())) is None
    assert read_move(wrapped(FileDeleted(owner="ada", path="a", key="ada/1", at=NOON))) is None


def test_what_a_newer_scheduler_adds_is_passed_over() -> None:
    document = json.loads(wrapped(opening_move()))
    document["data"]["mood"] = "good"
    document["data"]["allocation"]["colour"] = "red"
    assert read_move(json.dumps(document).encode()) == opening_move()


@pytest.mark.parametrize("raw", [b"", b"\xff", b"[]", b"1", b"{}", b'{"type":"org.shunter.workload.moved.v1"}'])
def test_what_is_no_event_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidError, match="not an event"):
        read_move(raw)


def test_a_move_with_a_wrong_field_is_refused_by_its_name() -> None:
    document = json.loads(wrapped(opening_move()))
    document["data"]["attempt"] = "many"
    with pytest.raises(InvalidError, match="attempt"):
        read_move(json.dumps(document).encode())
