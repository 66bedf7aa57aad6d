"""Envelopes, ids, errors, subjects and streams: what is said arrives, where it should, and as it was said."""

from __future__ import annotations

import re
from itertools import combinations
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from contracts.commands import (
    COMMANDS,
    CancelWorkload,
    Command,
    CompleteUpload,
    DeleteFile,
    HoldWorkload,
    SubmitWorkload,
)
from contracts.envelope import Context, Envelope, type_of
from contracts.errors import ErrorCode, FieldError, Problem, RefusedError, UnavailableError, error_of
from contracts.events import EVENTS, CommandRefused, Event, FileStored, MessageParked, WorkloadMoved
from contracts.ids import WorkloadId, message_id, workload_id, workload_id_from
from contracts.model import now
from contracts.principals import Level, Principal, Role
from contracts.queries import QUERIES
from contracts.runs import ControlRun, RunReport, Stream
from contracts.spec import JobSpec
from contracts.states import Reason, WorkloadState
from contracts.subjects import (
    STREAMS,
    command_filter,
    control_subject,
    event_subject,
    log_subject,
    query_subject,
    report_subject,
    subject_of,
    task_subject,
)
from services.chassis.packs import BREAK

TOKEN = re.compile(r"^[A-Za-z0-9_=-]+$")
JOB = workload_id()

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=40)
principals = st.builds(
    Principal,
    subject=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._@:+-]{0,30}", fullmatch=True),
    issuer=texts,
    projects=st.dictionaries(texts, st.sampled_from(Level), max_size=3),
    roles=st.frozensets(st.sampled_from(Role)),
)
ids = st.uuids().map(lambda found: f"job-{found.hex}")
specs = st.builds(JobSpec, argv=st.lists(texts.filter(bool), min_size=1, max_size=3), labels=st.just({"a": "b"}))
commands = st.one_of(
    st.builds(SubmitWorkload, workload_id=ids, principal=principals, spec=specs, request_hash=texts),
    st.builds(CancelWorkload, workload_id=ids, principal=principals, message=texts),
    st.builds(CompleteUpload, ticket=texts),
    st.builds(DeleteFile, principal=principals, path=st.just("a/b"), recursive=st.booleans()),
)


def _stored(key: str) -> FileStored:
    return FileStored(owner="ann", path="x", key=key, size=1, sha256="0" * 64, at=now())


def _moved(new: WorkloadState) -> WorkloadMoved:
    return WorkloadMoved(
        workload_id=JOB,
        owner="ann",
        revision=2,
        old=WorkloadState.QUEUED,
        new=new,
        at=now(),
        attempt=1,
        reason=Reason.STARTED,
    )


# --- envelopes --------------------------------------------------------------------------------------------------


@given(commands)
def test_a_command_comes_out_of_its_envelope_as_it_went_in(command: Command) -> None:
    envelope = Envelope.wrap(command, Context.start("user:ann"), source="gateway", subject=command.target_id)
    read = Envelope.from_bytes(envelope.to_bytes())
    assert read == envelope
    assert read.unwrap(type(command)) == command
    assert read.type == type_of(command)


@given(command=commands)
def test_a_message_is_written_and_read_in_one_pass_as_it_would_be_in_two(command: Command) -> None:
    context = Context.start("user:ann")
    envelope, raw = Envelope.write(command, context, source="gateway", subject=command.target_id)
    whole = Envelope.wrap(command, context, source="gateway", subject=command.target_id, id=envelope.id)
    assert raw == whole.model_copy(update={"time": envelope.time}).to_bytes()
    assert BREAK not in raw
    read, found = Envelope.read(raw, type(command))
    assert found == command
    assert read.to_context() == Envelope.from_bytes(raw).to_context()


def test_a_message_of_another_kind_is_not_read_as_one() -> None:
    command = CancelWorkload(workload_id=JOB, principal=Principal(subject="ann"), message="x")
    context = Context.start("user:ann")
    raw = Envelope.wrap(command, context, source="gateway", subject=JOB).to_bytes()
    assert Envelope.read(raw.replace(b'"message"', b'"later_field"'), CancelWorkload)[1].message == ""
    with pytest.raises(LookupError, match=r"workload\.hold"):
        Envelope.read(raw, HoldWorkload)
    with pytest.raises(ValidationError):
        Envelope.read(raw, SubmitWorkload)


def test_what_a_message_causes_names_it_and_stays_in_its_chain() -> None:
    context = Context.start("user:ann")
    first = Envelope.wrap(CompleteUpload(ticket="t"), context, source="gateway", subject="none")
    caused = Envelope.wrap(_stored("ann/1"), first.to_context(), source="storage", subject="1")
    assert caused.causationid == first.id
    assert caused.correlationid == first.correlationid == context.correlation
    assert caused.traceparent == first.traceparent
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", context.traceparent)
    assert caused.owner == "ann"


def test_an_envelope_is_a_cloud_event() -> None:
    raw = Envelope.wrap(_stored("ann/1"), Context.start("x"), source="storage", subject="1").model_dump(mode="json")
    assert {"specversion", "id", "source", "type"} <= set(raw)
    assert all(re.fullmatch(r"[a-z0-9]+", name) for name in raw)
    assert raw["specversion"] == "1.0"
    assert raw["time"].endswith("Z")


def test_a_reader_passes_over_fields_it_does_not_know_but_users_may_not_send_them() -> None:
    envelope = Envelope.wrap(CompleteUpload(ticket="t"), Context.start("x"), source="gateway", subject="none")
    newer = envelope.model_copy(update={"data": {**envelope.data, "colour": "red"}})
    assert newer.unwrap(CompleteUpload) == CompleteUpload(ticket="t")
    grown = newer.model_dump_json()[:-1] + ',"colour":"red"}'
    assert Envelope.from_bytes(grown.encode()).id == envelope.id
    with pytest.raises(ValidationError, match="colour"):
        CompleteUpload.model_validate({"ticket": "t", "colour": "red"})


def test_unknown_fields_deep_in_a_message_are_passed_over_too() -> None:
    principal = {"subject": "ann", "colour": "red"}
    raw = {"workload_id": JOB, "principal": principal, "spec": {"argv": ["true"], "resources": {"tpus": 1}}}
    envelope = Envelope.wrap(CompleteUpload(ticket="t"), Context.start("x"), source="gateway", subject="none")
    read = envelope.model_copy(update={"data": raw}).unwrap(SubmitWorkload)
    assert read.spec.argv == ["true"]
    with pytest.raises(ValidationError, match="tpus"):
        SubmitWorkload.model_validate(raw)


# --- ids --------------------------------------------------------------------------------------------------------


def test_ids_are_safe_in_subjects_and_sorted_by_time() -> None:
    made = [workload_id() for _ in range(100)]
    assert made == sorted(made)
    assert all(TOKEN.match(found) and TypeAdapter(WorkloadId).validate_python(found) for found in made)
    assert TOKEN.match(message_id())


@given(texts, texts, texts)
def test_one_key_of_one_subject_names_one_workload(subject: str, key: str, other: str) -> None:
    first = workload_id_from(subject, key)
    assert first == workload_id_from(subject, key)
    assert TypeAdapter(WorkloadId).validate_python(first) == first
    assert (first == workload_id_from(subject, other)) == (key == other)


@pytest.mark.parametrize("bad", ["", "job-1", "JOB-" + "0" * 32, "job-" + "g" * 32, "job-" + "0" * 32 + "\n", "job.*"])
def test_what_is_no_id_is_refused(bad: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(WorkloadId).validate_python(bad)


@pytest.mark.parametrize("bad", ["", "a b", "a/b", "../x", "-x", "a\n", "a*", "x" * 257])
def test_a_subject_that_could_be_a_path_or_a_wildcard_is_refused(bad: str) -> None:
    with pytest.raises(ValidationError):
        Principal(subject=bad)


# --- errors -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", list(ErrorCode))
def test_every_code_becomes_an_error_and_a_problem_again(code: ErrorCode) -> None:
    problem = Problem(code=code, detail="no", errors=[FieldError(field="a.b", message="m")], retry_after=2.5)
    error = error_of(Problem.model_validate_json(problem.model_dump_json()))
    assert error.code is code
    assert error.to_problem() == problem
    assert str(error) == "no"


def test_only_the_caller_can_mend_a_refusal_and_only_time_what_is_unavailable() -> None:
    kinds = {code: type(error_of(Problem(code=code, detail=""))) for code in ErrorCode}
    refused = {code for code, kind in kinds.items() if issubclass(kind, RefusedError)}
    assert set(ErrorCode) - refused == {ErrorCode.UNAVAILABLE, ErrorCode.INTERNAL}
    assert kinds[ErrorCode.UNAVAILABLE] is UnavailableError


# --- subjects and streams ---------------------------------------------------------------------------------------


def _fits(pattern: str, subject: str) -> bool:
    """Say whether NATS would hand *subject* to whoever asked for *pattern*."""
    ours, theirs = pattern.split("."), subject.split(".")
    for index, token in enumerate(ours):
        if token == ">":
            return len(theirs) > index
        if index >= len(theirs) or token not in {"*", theirs[index]}:
            return False
    return len(ours) == len(theirs)


def _overlap(one: str, other: str) -> bool:
    """Say whether some subject fits both filters."""
    for left, right in zip(one.split("."), other.split("."), strict=False):
        if ">" in {left, right}:
            return True
        if left != right and "*" not in {left, right}:
            return False
    return one.count(".") == other.count(".")


def _streamed() -> dict[str, str]:
    """Return a subject of each kind that a stream must keep, with the name of its stream."""
    principal = Principal(subject="ann")
    made: list[Command | Event] = [
        SubmitWorkload(workload_id=JOB, principal=principal, spec=JobSpec(argv=["true"])),
        CompleteUpload(ticket="t"),
        _stored(f"ann/{message_id()}"),
        _stored(""),
        MessageParked(
            service="s", stream="COMMANDS", subject="a.b", sequence=1, deliveries=5, message_id="two words.>", error=""
        ),
        CommandRefused(command="workload.submit", command_id="*", code="invalid", detail=""),
        *(_moved(state) for state in WorkloadState),
    ]
    found = {subject_of(message): "COMMANDS" if isinstance(message, Command) else "EVENTS" for message in made}
    found[task_subject("local", JOB, 1)] = "TASKS"
    found[report_subject(JOB, 1)] = "RUNS"
    found |= dict.fromkeys((log_subject(JOB, 1, stream) for stream in get_args(Stream)), "LOGS")
    return found | {f"parked.scheduler.{subject}": "PARKED" for subject in list(found)}


UNKEPT = [*(query_subject(kind) for kind in QUERIES), query_subject(QUERIES[-1], "storage"), control_subject("local")]


def _without_ids(word: object) -> str:
    """Name a test the same each time."""
    return re.sub(r"[0-9a-f]{32}", "ID", str(word))


@pytest.mark.parametrize(("subject", "stream"), _streamed().items(), ids=_without_ids)
def test_every_subject_is_kept_by_exactly_one_stream(subject: str, stream: str) -> None:
    keeping = [spec.name for spec in STREAMS if any(_fits(pattern, subject) for pattern in spec.subjects)]
    assert keeping == [stream]


@pytest.mark.parametrize("subject", [*_streamed(), *UNKEPT], ids=_without_ids)
def test_a_subject_is_made_of_tokens_that_nats_understands(subject: str) -> None:
    assert all(TOKEN.match(token) for token in subject.split("."))


@pytest.mark.parametrize("subject", UNKEPT)
def test_questions_are_kept_by_no_stream(subject: str) -> None:
    assert not any(_fits(pattern, subject) for spec in STREAMS for pattern in spec.subjects)


def test_no_two_streams_overlap() -> None:
    for one, other in combinations(STREAMS, 2):
        assert not any(_overlap(left, right) for left in one.subjects for right in other.subjects)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda kind: kind.__name__)
def test_a_service_hears_its_own_commands_only(command: type[Command]) -> None:
    subject = f"commands.{command.service}.{command.name}.x"
    assert [
        service for service in ("scheduler", "storage", "accounting") if _fits(command_filter(service), subject)
    ] == [command.service]


def test_the_fact_of_a_move_is_the_new_state() -> None:
    assert subject_of(_moved(WorkloadState.RUNNING)) == f"events.workload.running.{JOB}"
    assert _fits(event_subject("workload", "running"), f"events.workload.running.{JOB}")


@pytest.mark.parametrize("kind", [*COMMANDS, *EVENTS, *QUERIES, RunReport, ControlRun], ids=lambda kind: kind.__name__)
def test_a_name_is_a_noun_and_a_word(kind: Any) -> None:
    assert re.fullmatch(r"[a-z]+\.[a-z]+", kind.name)
    assert kind.version >= 1
    assert kind.__doc__
