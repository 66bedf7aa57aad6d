"""The client asks only for what the gateway documents, and reads the gateway's own examples."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from pydantic import ByteSize

from contracts.batches import BatchJob, BatchSpec
from contracts.files import PartDone
from contracts.grants import Right
from contracts.schedules import ScheduleSpec
from contracts.shelves import FolderRuleSpec, Gone
from contracts.spec import JobSpec
from contracts.states import WorkloadState
from contracts.subscriptions import DeliveryState, SubscriptionSpec
from contracts.tasks import TaskState
from contracts.usage import GroupBy
from services.gateway.app import create_app
from services.gateway.factory import Process
from services.gateway.settings import GatewaySection
from shunter.calls import (
    batches,
    bulk,
    clusters,
    files,
    folders,
    grants,
    hooks,
    jobs,
    mail,
    operations,
    records,
    schedules,
    tasks,
)
from shunter.calls.call import Call
from shunter.feeds import EventFeed, LogFeed

JOB = "job-0193e7a4c2d87b1e9f5a3c6d8e0f1a2b"
SHA = "0" * 64
BATCH = "bat-0193e7a4c2d87b1e9f5a3c6d8e0f1a2b"
SCHEDULE = "sch-0193e7a4c2d87b1e9f5a3c6d8e0f1a2b"
NIGHTLY = ScheduleSpec(name="nightly", cron="30 2 * * *", job=JobSpec(argv=["true"]))
SUBSCRIPTION = "sub-0193e7a4c2d87b1e9f5a3c6d8e0f1a2b"
DELIVERY = "dlv-0193e7a4c2d87b1e9f5a3c6d8e0f1a2b"
HOOK = SubscriptionSpec(url="https://hooks.example.org/", secret="s")
MOMENT = datetime(2026, 11, 20, tzinfo=UTC)

FILTER = jobs.JobFilter(
    states=(WorkloadState.FAILED,),
    owner="ada",
    project="p",
    backend="local",
    name="n",
    labels={"a": "b"},
    created_after=MOMENT,
    batch=BATCH,
    schedule=SCHEDULE,
    shared=True,
)
USAGE = records.UsageFilter(owner="ada", project="p", backend="local", since=MOMENT, until=MOMENT)
EVENTS = records.EventFilter(type="workload.moved", job=JOB, since=MOMENT)

CALLS: dict[str, Call[Any]] = {
    "submit": jobs.submit_job(JobSpec(argv=["true"]), wait=5),
    "list jobs": jobs.list_jobs(FILTER, cursor="c"),
    "job": jobs.get_job(JOB, wait=30, until="terminal"),
    "history": jobs.get_history(JOB),
    "explain": jobs.explain_job(JOB),
    "hold": jobs.hold_job(JOB),
    "release": jobs.release_job(JOB),
    "start": jobs.start_job(JOB),
    "cancel": jobs.cancel_job(JOB),
    "retry": jobs.retry_job(JOB),
    "remove": jobs.remove_job(JOB),
    "job of a number": jobs.list_jobs(replace(FILTER, number=7)),
    "cancel tasks": jobs.cancel_job(JOB, tasks="3,7-10"),
    "retry failed tasks": jobs.retry_job(JOB, tasks="failed"),
    "tasks": tasks.list_tasks(JOB, [TaskState.FAILED], cursor="c"),
    "task": tasks.get_task(JOB, 7),
    "log of a task": tasks.get_task_log(JOB, 7, stream="stderr", attempt=2),
    "logs of tasks": tasks.list_task_logs(JOB, cursor="c"),
    "log": jobs.get_log(JOB, stream="stderr", attempt=2),
    "follow a log": LogFeed(JOB, stream="stdout", attempt=1).call(),
    "outputs": jobs.list_outputs(JOB),
    "output url": jobs.output_url(JOB, "outputs/a/b.txt"),
    "submit many": batches.submit_batch(BatchSpec(jobs=[BatchJob(key="a", argv=["true"])])),
    "list batches": batches.list_batches(name="sweep", owner="ada", cursor="c"),
    "batch": batches.get_batch(BATCH),
    "cancel a batch": batches.cancel_batch(BATCH),
    "make a schedule": schedules.create_schedule(NIGHTLY),
    "change a schedule": schedules.replace_schedule(SCHEDULE, NIGHTLY, revision=2),
    "list schedules": schedules.list_schedules(name="nightly", owner="ada", cursor="c"),
    "schedule": schedules.get_schedule(SCHEDULE),
    "pause": schedules.pause_schedule(SCHEDULE),
    "resume": schedules.resume_schedule(SCHEDULE),
    "trigger": schedules.trigger_schedule(SCHEDULE),
    "delete a schedule": schedules.delete_schedule(SCHEDULE),
    "make a subscription": hooks.create_subscription(HOOK),
    "change a subscription": hooks.replace_subscription(SUBSCRIPTION, HOOK, revision=2),
    "list subscriptions": hooks.list_subscriptions(name="ci-bot", owner="ada", cursor="c"),
    "subscription": hooks.get_subscription(SUBSCRIPTION),
    "pause a subscription": hooks.pause_subscription(SUBSCRIPTION),
    "resume a subscription": hooks.resume_subscription(SUBSCRIPTION),
    "test a subscription": hooks.test_subscription(SUBSCRIPTION),
    "delete a subscription": hooks.delete_subscription(SUBSCRIPTION),
    "list deliveries": hooks.list_deliveries(
        [DeliveryState.DEAD], subscription=SUBSCRIPTION, job=JOB, owner="ada", cursor="c"
    ),
    "delivery": hooks.get_delivery(DELIVERY),
    "redeliver": hooks.redeliver(DELIVERY),
    "mail": mail.get_mail(),
    "no mail": mail.set_mail(opted_out=True),
    "share a job": grants.share_job(JOB, "user:bob", Right.CONTROL, MOMENT),
    "unshare a job": grants.unshare_job(JOB, "project:vision"),
    "grants on a job": grants.list_job_grants(JOB, cursor="c"),
    "share a folder": grants.share_folder("data", "token:t1", Right.READ, MOMENT, owner="ada"),
    "unshare a folder": grants.unshare_folder("data", "user:bob", owner="ada"),
    "grants on a folder": grants.list_folder_grants("data", owner="ada", cursor="c"),
    "shared with us": grants.list_shared(kind="job", cursor="c"),
    "files of another": files.list_files("data/", owner="ada"),
    "open for another": files.open_upload("data/x", size=1, sha256=SHA, content_type="text/plain", owner="ada"),
    "download of another": files.download_url("data/x", owner="ada"),
    "zip all": bulk.zip_folder(),
    "zip a folder": bulk.zip_folder("data/d1", owner="ada"),
    "form": bulk.open_form("data/d1", owner="ada", most=1000),
    "list files": files.list_files("data/", recursive=False, cursor="c"),
    "delete": files.delete_file("data/x", recursive=True),
    "folder": folders.get_folder("data", owner="ada"),
    "make a folder": folders.make_folder("raw"),
    "move": folders.move_file("data", "old", folder=True, replace=True),
    "rules": folders.list_rules(owner="ada"),
    "set a rule": folders.set_rule("data", FolderRuleSpec(quota=ByteSize(10)), owner="ada"),
    "drop a rule": folders.drop_rule("data", owner="ada"),
    "usage of storage": folders.get_usage(owner="ada"),
    "owners": folders.list_owners(cursor="c"),
    "versions": folders.list_versions("data", list(Gone), owner="ada", cursor="c"),
    "purge a version": folders.purge_version("0" * 32),
    "restore a version": folders.restore_version("0" * 32, "data/old"),
    "restore": folders.restore("data", folder=True),
    "empty the trash": folders.empty_trash("data"),
    "open": files.open_upload("data/x", size=1, sha256=SHA, content_type="text/plain"),
    "resume an upload": files.resume_upload("ticket"),
    "complete": files.complete_upload("ticket", [PartDone(number=1, etag="e")]),
    "download": files.download_url("data/x"),
    "usage": records.sum_usage(list(GroupBy), USAGE),
    "replay": records.replay_log(),
    "events": records.list_events(EVENTS, since_sequence=3),
    "follow events": EventFeed(EVENTS, since_sequence=3).call(),
    "backends": records.list_backends(),
    "backend": clusters.get_backend("local"),
    "drain a backend": clusters.drain_backend("local", "new disks"),
    "resume a backend": clusters.resume_backend("local"),
    "applications": records.list_applications(),
    "whoami": records.who_am_i(),
    "readiness": records.get_readiness(),
    "site health": operations.get_site_health(),
    "parked messages": operations.list_parked(service="scheduler", subject="commands", cursor="1"),
    "parked message": operations.get_parked(7),
    "resend": operations.resend_parked(7),
    "resend all": operations.resend_parked(service="scheduler", subject="commands", everything=True),
    "drop": operations.drop_parked(7),
    "drop all": operations.drop_parked(service="scheduler", subject="commands", everything=True),
}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    settings = GatewaySection()
    return create_app(cast(Process, SimpleNamespace(settings=settings))).openapi()


def _operation(document: dict[str, Any], call: Call[Any]) -> dict[str, Any]:
    """Return the operation of the most exact path that fits."""
    fitting = [
        (path.count("{"), item[call.method.lower()])
        for path, item in document["paths"].items()
        if call.method.lower() in item and re.fullmatch(_pattern(path), call.path)
    ]
    assert fitting, f"the gateway has no {call.method} {call.path}"
    return cast(dict[str, Any], min(fitting, key=lambda found: found[0])[1])


def _pattern(path: str) -> str:
    return re.sub(r"\{path\}", ".+", re.sub(r"\{(?!path\})[^}]+\}", "[^/]+", path))


def _examples(operation: dict[str, Any]) -> Iterator[tuple[int, Any]]:
    for status, answer in operation["responses"].items():
        for kind, content in answer.get("content", {}).items():
            if status.startswith("2") and kind == "application/json" and content.get("example"):
                yield int(status), content["example"]


@pytest.mark.parametrize("name", CALLS)
def test_the_gateway_documents_what_the_client_asks_for(document: dict[str, Any], name: str) -> None:
    call = CALLS[name]
    operation = _operation(document, call)
    known = {(item["in"], item["name"].lower()) for item in operation.get("parameters", [])}
    assert {("query", key) for key, _ in call.params} <= known
    headers = {key.lower() for key in call.headers} - {"accept", "cache-control"}
    assert {("header", key) for key in headers} <= known
    body = operation.get("requestBody")
    assert body if call.body is not None else not (body or {}).get("required", False)
    if call.body is not None:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        named = schema if "$ref" in schema else next(found for found in schema["anyOf"] if "$ref" in found)
        fields = document["components"]["schemas"][named["$ref"].rsplit("/", 1)[-1]]["properties"]
        assert set(json.loads(call.body)) <= set(fields)


@pytest.mark.parametrize("name", CALLS)
def test_the_client_reads_the_examples_of_the_gateway(document: dict[str, Any], name: str) -> None:
    for status, example in _examples(_operation(document, CALLS[name])):
        CALLS[name].read(httpx.Response(status, json=example))


def test_most_calls_have_an_example_to_read(document: dict[str, Any]) -> None:
    with_example = [name for name, call in CALLS.items() if list(_examples(_operation(document, call)))]
    assert len(with_example) > 15
