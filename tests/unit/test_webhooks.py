"""What is sent, pure: signatures, bodies, pauses, and which event goes where."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from pydantic import SecretStr, ValidationError
from sqlalchemy import RowMapping

from contracts.batches import BatchSpec
from contracts.envelope import Context, Envelope
from contracts.errors import InvalidError
from contracts.events import ScheduleCreated, WorkloadAccepted, WorkloadMoved
from contracts.fact import Event
from contracts.hook_events import DeliveryDead, SubscriptionCreated
from contracts.hooks import Callback, is_sealed
from contracts.identity_events import MembershipEnded, MembershipSet, UserChanged, UserDisabled
from contracts.ids import workload_id
from contracts.model import now
from contracts.principals import Level, Principal, Role
from contracts.schedules import ScheduleSpec
from contracts.secrets import keep_secret, replace_secrets, without_secrets
from contracts.spec import JobSpec
from contracts.states import Reason, WorkloadState
from contracts.subscriptions import SubscriptionSpec
from services.chassis.sealing import Sealer
from services.chassis.showing import shown
from services.scheduler.settings import Webhooks
from services.scheduler.webhooks.backoff import pause_after, read_retry_after
from services.scheduler.webhooks.formats import FORMATS, JobFacts, psik_state, state_of
from services.scheduler.webhooks.matching import CallbackTarget, SubscriptionTarget
from services.scheduler.webhooks.records import new_subscription
from services.scheduler.webhooks.sending import sign
from services.scheduler.webhooks.withdrawing import why_withdrawn

JOB = workload_id()
URL = "https://hooks.example.org/"
S = WorkloadState


def _wrapped(event: Event) -> Envelope:
    return Envelope.wrap(event, Context.start("user:ada"), source="scheduler", subject=event.subject_id)


def _moved(new: WorkloadState, old: WorkloadState = S.QUEUED, **more: Any) -> Envelope:
    known = {"workload_id": JOB, "owner": "ada", "project": "vision", "revision": 2, "at": now(), "attempt": 1}
    event = WorkloadMoved.model_validate({**known, "old": old, "new": new, "reason": Reason.STARTED, **more})
    return _wrapped(event)


def _accepted(**spec: Any) -> Envelope:
    asked = JobSpec.model_validate({"argv": ["true"], **spec})
    return _wrapped(WorkloadAccepted(workload_id=JOB, owner="ada", project="vision", revision=1, spec=asked, at=now()))


# --- secrets ------------------------------------------------------------------------------------------------------


def test_the_signature_is_that_of_everybody_else() -> None:
    # The example of GitHub's own documentation.
    found = sign("It's a Secret to Everybody", b"Hello, World!")
    assert found == "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"


def test_what_is_sealed_is_opened_with_the_same_key_only() -> None:
    sealer, other = Sealer(SecretStr("k" * 40)), Sealer(SecretStr("x" * 40))
    sealed = sealer.seal("ein Geheimnis \u00fc")
    assert is_sealed(sealed)
    assert sealed != sealer.seal("ein Geheimnis \u00fc")
    assert sealer.open(sealed) == "ein Geheimnis \u00fc"
    for wrong in (sealed[:-4] + "AAAA", "sealed:", "sealed:!", "sealed:" + "A" * 60):
        with pytest.raises(InvalidError, match="not sealed by this site"):
            sealer.open(wrong)
    with pytest.raises(InvalidError, match="not sealed by this site"):
        other.open(sealed)
    assert sealer.mark("a") == sealer.mark("a") != other.mark("a")


@pytest.mark.parametrize("secret", ["sealed:forged", "x" * 257])
def test_what_looks_sealed_or_is_too_long_is_no_secret(secret: str) -> None:
    with pytest.raises(InvalidError, match="secret"):
        Sealer(SecretStr("k" * 40)).seal(secret)


def test_a_site_without_a_key_keeps_no_secrets() -> None:
    with pytest.raises(InvalidError, match="ticket_key"):
        Sealer(SecretStr("short")).seal("word")


def test_secrets_are_found_wherever_they_stand() -> None:
    callback = {"url": URL, "secret": "word"}
    job = JobSpec.model_validate({"argv": ["true"], "callback": callback})
    batch = BatchSpec.model_validate(
        {"jobs": [{"key": "a", "argv": ["true"]}, {"key": "b", "argv": ["true"], "callback": callback}]}
    )
    schedule = ScheduleSpec.model_validate(
        {"name": "n", "every": "1h", "job": {"argv": ["true"], "callback": callback}}
    )
    subscription = SubscriptionSpec.model_validate(callback)
    for wish in (job, batch, schedule, subscription):
        assert "word" not in repr(wish)
        assert '"word"' in wish.model_dump_json()
    assert '"word"' not in without_secrets(job).model_dump_json()
    assert '"word"' not in without_secrets(batch).model_dump_json()
    assert '"word"' not in without_secrets(schedule).model_dump_json()
    assert '"word"' not in without_secrets(subscription).model_dump_json()
    assert replace_secrets(job, str.upper).callback == Callback(url=URL, secret="WORD")
    plain = JobSpec(argv=["true"])
    assert without_secrets(plain) is plain


def test_a_secret_that_nobody_can_repeat_is_kept_for_the_same_url() -> None:
    old = JobSpec.model_validate({"argv": ["true"], "callback": {"url": URL, "secret": "word"}})
    same = JobSpec.model_validate({"argv": ["false"], "callback": {"url": URL}})
    other = JobSpec.model_validate({"argv": ["false"], "callback": {"url": URL + "x"}})
    assert keep_secret(same, old).callback == old.callback
    assert keep_secret(other, old) is other
    assert keep_secret(old, same) is old


def test_events_are_shown_without_secrets() -> None:
    callback = {"url": URL, "secret": "word"}
    schedule = ScheduleSpec.model_validate(
        {"name": "n", "every": "1h", "job": {"argv": ["true"], "callback": callback}}
    )
    ada = Principal(subject="ada")
    events = [
        _accepted(callback=callback),
        _wrapped(ScheduleCreated(schedule_id=workload_id("sch"), owner="ada", spec=schedule, principal=ada, at=now())),
        _wrapped(
            SubscriptionCreated(
                subscription_id=workload_id("sub"),
                owner="ada",
                spec=SubscriptionSpec.model_validate(callback),
                principal=ada,
                at=now(),
            )
        ),
    ]
    for envelope in events:
        assert b'"word"' in envelope.to_bytes()
        assert b'"word"' not in shown(envelope).to_bytes()
        assert URL.encode() in shown(envelope).to_bytes()


# --- bodies -------------------------------------------------------------------------------------------------------


def test_a_cloud_event_is_the_event_as_its_owner_sees_it() -> None:
    envelope = _moved(S.RUNNING)
    body = FORMATS["cloudevents"](envelope, JobFacts())
    assert body is not None
    assert body.content_type == "application/cloudevents+json; charset=utf-8"
    assert json.loads(body.content) == json.loads(envelope.to_bytes())
    assert body.key == envelope.id


def test_every_state_has_a_word_of_psiks() -> None:
    assert {psik_state(state) for state in S} == {"new", "queued", "active", "completed", "failed", "canceled"}


@pytest.mark.parametrize(
    ("envelope", "step"),
    [
        (_moved(S.QUEUED), {"jobid": "17.042", "jobndx": 3, "state": "queued", "info": 0}),
        (_moved(S.RUNNING), {"jobid": "17.042", "jobndx": 3, "state": "active", "info": 0}),
        (_moved(S.SUCCEEDED, exit_code=0), {"jobid": "17.042", "jobndx": 3, "state": "completed", "info": 0}),
        (_moved(S.FAILED, exit_code=4), {"jobid": "17.042", "jobndx": 3, "state": "failed", "info": 4}),
        (_moved(S.LOST), {"jobid": "17.042", "jobndx": 3, "state": "failed", "info": 0}),
        (_moved(S.CANCELED), {"jobid": "17.042", "jobndx": 3, "state": "canceled", "info": 0}),
        (_moved(S.HELD), None),
        (_accepted(), None),
    ],
)
def test_psik_is_told_as_psik_tells(envelope: Envelope, step: dict[str, Any] | None) -> None:
    body = FORMATS["psik"](envelope, JobFacts(labels={"psik.job": "17.042", "psik.ndx": "3"}))
    assert (body and body.content) == (step and json.dumps(step, separators=(",", ":")).encode())


def test_psiks_words_are_told_once() -> None:
    keys = [FORMATS["psik"](_moved(state), JobFacts()) for state in (S.STAGING, S.QUEUED, S.STARTING)]
    assert len({body.key for body in keys if body}) == 1
    later = FORMATS["psik"](_moved(S.QUEUED), JobFacts(labels={"psik.ndx": "2"}))
    assert later is not None
    assert later.key not in {body.key for body in keys if body}


def test_only_moves_tell_of_a_state() -> None:
    assert state_of(_accepted()) is S.ACCEPTED
    assert state_of(_moved(S.FAILED)) is S.FAILED
    assert state_of(_moved(S.FAILED).model_copy(update={"data": {"new": "flying"}})) is None
    assert state_of(_wrapped(_dead())) is None


# --- pauses -------------------------------------------------------------------------------------------------------


def test_pauses_double_up_to_the_longest_and_then_it_is_given_up() -> None:
    settings = Webhooks(attempts=6, first_pause=2.0, longest_pause=20.0)
    assert [pause_after(tries, settings) for tries in range(1, 7)] == [2.0, 4.0, 8.0, 16.0, 20.0, None]


def test_a_target_may_ask_for_a_longer_pause_but_not_for_a_shorter_one() -> None:
    settings = Webhooks(first_pause=2.0, longest_pause=20.0)
    assert [pause_after(1, settings, asked) for asked in (0.0, 7.0, 1000.0)] == [2.0, 7.0, 20.0]


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("7", 7.0),
        (" 0 ", 0.0),
        ("Wed, 21 Oct 2026 07:28:30 GMT", 30.0),
        ("Wed, 21 Oct 2025 07:28:00 GMT", 0.0),
        ("soon", None),
        ("-1", None),
        ("", None),
        (None, None),
        ("9" * 400, 999999999.0),
    ],
)
def test_retry_after_is_a_number_or_a_date(said: str | None, seconds: float | None) -> None:
    assert read_retry_after(said, datetime(2026, 10, 21, 7, 28, tzinfo=UTC)) == seconds


# --- which event goes where -----------------------------------------------------------------------------------------


def _dead() -> DeliveryDead:
    return DeliveryDead(
        delivery_id=workload_id("dlv"), owner="ada", event_id="e", event_type="t", at=now(), url=URL, attempts=1
    )


def _subscription(principal: Principal | None = None, **spec: Any) -> SubscriptionTarget:
    asked = SubscriptionSpec.model_validate({"url": URL, **spec})
    row = new_subscription(workload_id("sub"), principal or Principal(subject="ada"), asked, "")
    return SubscriptionTarget(cast(RowMapping, {**row, "created_at": now() - timedelta(minutes=1)}))


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({}, True),
        ({"types": ["workload"]}, True),
        ({"types": ["org.shunter.workload.moved"]}, True),
        ({"types": ["workload.accepted", "file"]}, False),
        ({"states": ["running"]}, True),
        ({"states": ["failed"]}, False),
        ({"job": JOB}, True),
        ({"job": workload_id()}, False),
        ({"project": "vision"}, True),
        ({"project": "other"}, False),
        ({"job_name": "fit"}, True),
        ({"job_name": "fits"}, False),
        ({"labels": {"team": "x"}}, True),
        ({"labels": {"team": "x", "more": "y"}}, False),
    ],
)
def test_a_subscription_wants_what_it_says(spec: dict[str, Any], wanted: bool) -> None:
    target, envelope = _subscription(**spec), _moved(S.RUNNING)
    row = target.draft(envelope, JobFacts("fit", {"team": "x"}))
    assert (row is not None) == wanted
    assert target.may_want("workload") or not wanted
    if row is not None:
        assert (row["event_id"], row["line"]) == (envelope.id, f"{row['target']}/{JOB}")


def test_nobody_gets_what_they_may_not_see() -> None:
    foreign, admin = Principal(subject="bob"), Principal(subject="bob", projects={"vision": Level.ADMIN})
    envelope = _moved(S.RUNNING)
    assert _subscription(foreign, of="visible").draft(envelope, JobFacts()) is None
    assert _subscription(admin).draft(envelope, JobFacts()) is None
    assert _subscription(admin, of="visible").draft(envelope, JobFacts()) is not None


def test_what_happened_before_a_subscription_is_not_sent() -> None:
    old = _moved(S.RUNNING).model_copy(update={"time": now() - timedelta(hours=1)})
    assert _subscription().draft(old, JobFacts()) is None


def test_dead_letters_are_not_delivered_for_ever() -> None:
    assert _subscription(types=["delivery"]).draft(_wrapped(_dead()), JobFacts()) is None


def test_what_cannot_be_wanted_is_not_even_read() -> None:
    assert not _subscription(types=["schedule"]).may_want("workload")
    assert _subscription(types=["workload.mo"]).may_want("workload")
    assert not _subscription(states=["failed"]).may_want("file")


@pytest.mark.parametrize(
    ("event", "mine", "visible"),
    [
        (UserDisabled(owner="ada", at=now()), "its owner was disabled", "its owner was disabled"),
        (UserDisabled(owner="bob", at=now()), "", ""),
        (UserChanged(owner="ada", at=now(), revision=2, roles=frozenset({Role.AUDITOR})), "", ""),
        (UserChanged(owner="ada", at=now(), revision=2), "", "its owner is no auditor of the site any more"),
        (MembershipEnded(owner="ada", at=now(), project="vision"), "", "its owner does not administer vision any more"),
        (MembershipEnded(owner="ada", at=now(), project="other"), "", ""),
        (MembershipSet(owner="ada", at=now(), project="vision", level=Level.ADMIN), "", ""),
        (
            MembershipSet(owner="ada", at=now(), project="vision", level=Level.MEMBER),
            "",
            "its owner does not administer vision any more",
        ),
    ],
)
def test_who_loses_rights_is_told_no_more_by_them(event: Event, mine: str, visible: str) -> None:
    ada = Principal(
        subject="ada", projects={"vision": Level.ADMIN, "other": Level.MEMBER}, roles=frozenset({Role.AUDITOR})
    )
    envelope = _wrapped(event)
    assert why_withdrawn(envelope, _subscription(ada).row) == mine
    assert why_withdrawn(envelope, _subscription(ada, of="visible").row) == visible


def test_a_callback_is_told_of_moves_only() -> None:
    row = {"workload_id": JOB, "owner": "ada", "project": None, "callback": {"url": URL, "events": ["failed"]}}
    target = CallbackTarget(cast(RowMapping, row))
    assert target.draft(_moved(S.RUNNING), JobFacts()) is None
    assert target.draft(_wrapped(_dead()), JobFacts()) is None
    told = target.draft(_moved(S.FAILED), JobFacts())
    assert told is not None
    assert (told["line"], told["workload_id"], told["owner"]) == (JOB, JOB, "ada")


@pytest.mark.parametrize(
    "callback",
    [
        {},
        {"url": "no url"},
        {"url": URL, "events": ["flying"]},
        {"url": URL, "events": ["failed", "failed"]},
        {"url": URL, "secret": ""},
        {"url": URL, "secret": "x" * 3000},
        {"url": URL, "format": "X Y"},
        {"url": URL, "more": 1},
        {"url": "https://" + "a" * 2100},
    ],
)
def test_a_callback_that_makes_no_sense_is_refused(callback: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Callback.model_validate(callback)
