"""Bad messages on every subject: refused, or parked with an event, and whoever comes after them is served at once."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import nats.errors
import psutil
import pytest
import pytest_asyncio
from nats.aio.client import Client

from contracts.ids import workload_id
from contracts.queries import QUERIES, CheckHealth, Diagnose
from contracts.runs import RunReport, RunTask, Step, StepName
from contracts.states import Reason
from contracts.subjects import control_subject, log_subject, query_subject, report_subject, task_subject
from contracts.workloads import Usage
from tests.support.hostile import LIMIT, Target
from tests.support.jobs import cancel, get, logs, submit, until, until_ended

from .entry import How, load
from .flood import UNKNOWN, connect, publish
from .messages import GOOD

pytestmark = pytest.mark.asyncio(loop_scope="module")

_REPORTS = ("RUNS", "scheduler-reports")
_TASKS = ("TASKS", "runner-local")
_COMMANDS = (("COMMANDS", "scheduler-commands"), ("COMMANDS", "storage-commands"))
_LEDGER = ("EVENTS", "accounting-events")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def wire(target: Target) -> AsyncIterator[Client]:
    """A connection with the rights of the services themselves: only whoever stole those can forge anything."""
    client = await connect(target.stack)
    yield client
    await client.close()


async def _until(condition: Callable[[], Any], what: str, seconds: float = 2 * LIMIT) -> None:
    ends = time.monotonic() + seconds
    while not (await condition()):
        assert time.monotonic() < ends, f"waited {seconds} s for {what}"
        await asyncio.sleep(0.05)


async def _until_taken(wire: Client, *consumers: tuple[str, str]) -> None:
    """Wait until consumers have settled whatever there is."""
    jetstream = wire.jetstream(timeout=LIMIT)
    for stream, durable in consumers:

        async def settled(stream: str = stream, durable: str = durable) -> bool:
            info = await jetstream.consumer_info(stream, durable)
            return not info.num_pending and not info.num_ack_pending

        await _until(settled, f"{durable} to settle all")


def _outcomes(target: Target) -> dict[str, int]:
    found = {"command.refused": 0, "message.parked": 0}
    for kind in found:
        params: dict[str, str | int] = {"type": kind, "limit": 1000}
        found[kind] = len(target.admin.get("/v1/events", params=params).raise_for_status().json()["items"])
    return found


async def test_one_id_with_two_bodies_is_one_message(target: Target, wire: Client) -> None:
    before = target.standing()
    owner = {"subject": "owner", "issuer": "static"}
    answers: list[Any] = []
    inbox = await wire.subscribe(place := wire.new_inbox())
    for number, message_id in enumerate(("one-header", "another-header")):
        data = {"workload_id": workload_id(), "principal": owner, "spec": {"argv": ["true"], "hold": True}}
        envelope = {**GOOD, "id": "twice-the-same", "data": data, "subject": str(number)}
        subject = f"commands.scheduler.workload.submit.{data['workload_id']}"
        await publish(
            wire, subject, json.dumps(envelope).encode(), {"Nats-Msg-Id": message_id, "Shunter-Reply-To": place}
        )
        said = json.loads((await inbox.next_msg(timeout=LIMIT)).data)
        answers.append(said)
    assert answers[1]["problem"]["code"] == "conflict", answers
    job = answers[0]["answer"]["id"]
    wanted = (before[0] + 1, before[1] + 1)

    async def told() -> bool:
        return await asyncio.to_thread(target.standing) >= wanted

    await _until(told, "the job to be told of")
    assert target.standing() == wanted
    cancel(target.client, job)
    await asyncio.to_thread(until, target.client, job, "canceled")


async def test_every_question_is_answered_whatever_it_is(wire: Client) -> None:
    of_any = (CheckHealth, Diagnose)
    subjects = [query_subject(kind) for kind in QUERIES if kind not in of_any]
    for subject in [*subjects, *(query_subject(kind, "scheduler") for kind in of_any)]:
        for entry in load(How.MESSAGE):
            if len(entry.value) > 10**6 and "workload.get" not in subject:
                continue
            with suppress(nats.errors.MaxPayloadError):
                reply = await wire.request(subject, entry.value, timeout=LIMIT)
                said = json.loads(reply.data)
                assert said.get("answer") or said["problem"]["code"] == "invalid", f"{subject}: {entry.name}: {said}"
            await wire.publish(subject, entry.value[: 2**20])  # and nobody waits for an answer


async def test_runners_answer_whatever_is_asked_of_them(wire: Client) -> None:
    for entry in load(How.MESSAGE):
        with suppress(nats.errors.MaxPayloadError):
            assert json.loads((await wire.request(control_subject("local"), entry.value, timeout=LIMIT)).data)["runner"]
    asked = {"action": "cancel", "workload_id": UNKNOWN, "attempt": -(2**70)}
    assert json.loads((await wire.request(control_subject("local"), json.dumps(asked).encode(), timeout=LIMIT)).data)
    room = json.loads((await wire.request(control_subject("local"), b'{"action":"capacity"}', timeout=LIMIT)).data)
    assert room["capacity"]["cpus"] > 0


def _report(job: str, attempt: int, *steps: Step) -> bytes:
    report = RunReport(
        workload_id=job, attempt=attempt, number=1, runner="forged", native_id=f"{job}.{attempt}", steps=list(steps)
    )
    return report.model_dump_json().encode()


def _step(step: StepName, **more: Any) -> Step:
    return Step.model_construct(**{**Step(step=step, at=datetime.now(UTC)).__dict__, **more})


async def test_reports_that_cannot_be_true_move_nothing(target: Target, wire: Client) -> None:
    held = submit(target.client, "true", hold=True)
    await asyncio.to_thread(until, target.client, held, "held")
    good = [_step(StepName.EXITED, exit_code=0), _step(StepName.DONE, exit_code=0, reason=Reason.EXITED)]
    for job, attempt in ((UNKNOWN, 1), (held, 1), (held, 2), (held, 0), (held, -1), (held, 2**70)):
        await publish(wire, report_subject(job, attempt if attempt > 0 else "x"), _report(job, attempt, *good))
    late = json.loads(_report(held, 1, *good))
    late["steps"][0]["at"] = "9999-12-31T23:59:59-14:00"
    await publish(wire, report_subject(held, 1), json.dumps(late).encode())
    await _until_taken(wire, _REPORTS)
    assert get(target.client, held)["state"] == "held"
    assert target.client.get(f"/v1/jobs/{UNKNOWN}").status_code == 404
    assert target.client.post(f"/v1/jobs/{held}/start").status_code in {200, 202}
    ended = await asyncio.to_thread(until_ended, target.client, held)
    assert (ended["state"], ended["exit_code"]) == ("succeeded", 0), ended


async def test_figures_that_cannot_be_do_not_reach_the_ledger(target: Target, wire: Client) -> None:
    job = submit(target.client, "sleep", "300")
    await asyncio.to_thread(until, target.client, job, "running")
    broken = Usage(wall_seconds=-1, cpu_seconds=1e308, memory_peak=2**70, gpu_seconds=-1e308, gpu_memory_peak=-1)
    exited = _step(StepName.EXITED, usage=broken, exit_code=10**9, at=datetime(8999, 1, 1, tzinfo=UTC))
    raw = _report(job, 1, exited).replace(b'"gpu_seconds":-1e+308', b'"gpu_seconds":NaN')
    await publish(wire, report_subject(job, 1), raw)
    record = await asyncio.to_thread(until, target.client, job, "finishing", "succeeded", "failed", "canceled")
    assert record["updated_at"] < "2999", record
    assert record["exit_code"] is None or abs(record["exit_code"]) < 256
    cancel(target.client, job)
    ended = await asyncio.to_thread(until_ended, target.client, job)
    assert 0 <= ended["usage"]["cpu_seconds"] <= 2**53, ended["usage"]
    total = target.client.get("/v1/usage").raise_for_status().json()["total"]
    assert all(0 <= value < 2**63 for value in total.values()), total


async def test_a_task_that_nobody_submitted_is_ended_and_leaves_no_trace(target: Target, wire: Client) -> None:
    before, mark = target.standing(), workload_id()
    task = RunTask(workload_id=mark, attempt=1, owner="owner", argv=["sleep", "300"], walltime=300, ticket="forged")
    await publish(wire, task_subject("local", mark, 1), task.model_dump_json().encode())
    wrong = task.model_dump() | {"cpus": -1e9}
    await publish(wire, task_subject("local", mark, 2), json.dumps(wrong).encode())
    await _until_taken(wire, _TASKS)

    async def gone() -> bool:
        asked = {"action": "observe", "workload_id": mark, "attempt": 1}
        reply = await wire.request(control_subject("local"), json.dumps(asked).encode(), timeout=LIMIT)
        return bool(json.loads(reply.data)["ended"])

    await _until(gone, "the forged task to be ended")
    assert not [found for found in psutil.process_iter(["environ"]) if mark in str(found.info["environ"])]
    assert target.standing() == before
    assert target.client.get(f"/v1/jobs/{mark}").status_code == 404


async def test_forged_output_does_not_keep_anybody_from_reading(target: Target, wire: Client) -> None:
    job = submit(target.client, "sh", "-c", "echo mine; sleep 300")
    await asyncio.to_thread(until, target.client, job, "running")
    for attempt in ("1", "x", "-1", "9" * 30):
        for headers in ({}, {"Shunter-Offset": "²"}, {"Shunter-Offset": "-5"}, {"Shunter-Offset": "9" * 40}):
            await publish(wire, log_subject(job, attempt, "stdout"), b"forged", headers)
    for stream in ("stdout", "stderr"):
        answer = target.client.get(f"/v1/jobs/{job}/logs", params={"stream": stream})
        assert answer.status_code == 200, answer.text
    cancel(target.client, job)
    await asyncio.to_thread(until_ended, target.client, job)
    assert await asyncio.to_thread(logs, target.client, job) == b"mine\n"
    followed = target.client.get(f"/v1/jobs/{job}/logs", params={"follow": "true"}).text
    assert "mine" in followed
    assert "event: end" in followed


async def test_every_bad_message_is_refused_or_parked_in_the_end(target: Target, wire: Client) -> None:
    await _until_taken(wire, *_COMMANDS, _REPORTS, _TASKS, _LEDGER)
    jetstream = wire.jetstream(timeout=LIMIT)
    for stream in ("COMMANDS", "TASKS"):

        async def is_empty(stream: str = stream) -> bool:
            return (await jetstream.stream_info(stream)).state.messages == 0

        await _until(is_empty, f"{stream} to be empty")
    told = await asyncio.to_thread(_outcomes, target)
    assert target.said > 300
    assert told["command.refused"] > 100, told
    assert told["message.parked"] > 20, told
    assert (await jetstream.stream_info("PARKED")).state.messages >= told["message.parked"]
    target.check_alive()
    replay = target.admin.post("/v1/audit/replay", timeout=2 * LIMIT).raise_for_status().json()
    assert replay["equal"], replay["differences"]
