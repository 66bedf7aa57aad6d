"""Which subjects an event filter reads, and what the gateway says of what it read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.envelope import Context, Envelope, type_of
from contracts.errors import InvalidError
from contracts.events import EVENTS, FileDeleted
from contracts.ids import workload_id
from contracts.model import now
from services.gateway.events import EventFilter
from services.gateway.sse import sse_event

JOB = workload_id()


@pytest.mark.parametrize(
    ("wanted", "subjects"),
    [
        (EventFilter(), ["events.*.*.*"]),
        (EventFilter(types=("workload",)), ["events.workload.*.*"]),
        (EventFilter(types=("org.shunter.workload.moved.v1",)), ["events.workload.*.*"]),
        (EventFilter(types=("file.stored", "message")), ["events.file.*.*", "events.message.*.*"]),
        (EventFilter(job=JOB), [f"events.workload.*.{JOB}"]),
        (EventFilter(types=("",)), ["events.*.*.*"]),
    ],
)
def test_a_filter_reads_no_more_than_it_must(wanted: EventFilter, subjects: list[str]) -> None:
    assert wanted.to_subjects() == subjects


def test_a_type_that_nothing_has_is_refused() -> None:
    with pytest.raises(InvalidError):
        EventFilter(types=("workload.exploded",)).to_subjects()


@given(st.sampled_from([type_of(kind) for kind in EVENTS]), st.integers(0, 40))
def test_every_beginning_of_a_type_finds_it(kind: str, length: int) -> None:
    assert EventFilter(types=(kind[: len("org.shunter.") + length],)).to_subjects()


def test_an_event_is_of_its_owner_and_project() -> None:
    event = FileDeleted(owner="ada", path="a", key="ada/x", at=now())
    envelope = Envelope.wrap(event, Context.start("user:ada"), source="storage", subject="x")
    assert EventFilter(owner="ada", types=("file",)).wants(envelope)
    assert not EventFilter(owner="eve").wants(envelope)
    assert not EventFilter(project="vision").wants(envelope)
    assert not EventFilter(types=("workload",)).wants(envelope)


def test_an_event_is_one_block_of_lines() -> None:
    assert sse_event("log", b'{"a":1}', place="7") == b'id: 7\nevent: log\ndata: {"a":1}\n\n'
