"""A command that nobody can read is put aside with an event; the others go on, and nothing is started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nats
import yaml

from contracts.commands import SubmitWorkload
from contracts.envelope import Context, Envelope
from contracts.ids import message_id, workload_id
from contracts.principals import Principal
from contracts.spec import JobSpec
from contracts.subjects import subject_of
from tests.faults.drill import Drill
from tests.support.fault_stack import FaultStack, await_that

_ASIDE = ("org.shunter.message.parked.", "org.shunter.command.refused.")


def _bodies() -> dict[str, tuple[str, bytes]]:
    """Return commands that cannot be understood, by their message id."""
    target = workload_id()
    command = SubmitWorkload(workload_id=target, principal=Principal(subject="owner"), spec=JobSpec(argv=["true"]))
    good = Envelope.wrap(command, Context.start("user:owner"), source="gateway", subject=target)
    subject = subject_of(command)
    found: dict[str, tuple[str, bytes]] = {}

    def add(body: bytes | None = None, **changes: Any) -> None:
        name = message_id()
        found[name] = (
            subject,
            body if body is not None else good.model_copy(update={"id": name, **changes}).to_bytes(),
        )

    add(b"")
    add(b"\xff\xfe not JSON at all")
    add(b'{"specversion": "1.0"}')
    add(type="org.shunter.workload.teleport.v9")
    add(data={"workload_id": target, "principal": {"subject": "owner"}, "spec": {"argv": 7}})
    return found


async def _publish(data: Path, bodies: dict[str, tuple[str, bytes]]) -> None:
    settings = yaml.safe_load((data / "shunter.yaml").read_text())["nats"]
    client = await nats.connect(settings["url"], user=settings["user"], password=settings["password"])
    try:
        for name, (subject, body) in bodies.items():
            await client.jetstream().publish(subject, body, headers={"Nats-Msg-Id": name})
    finally:
        await client.close()


async def _left(data: Path) -> int:
    settings = yaml.safe_load((data / "shunter.yaml").read_text())["nats"]
    client = await nats.connect(settings["url"], user=settings["user"], password=settings["password"])
    try:
        return int((await client.jetstream().stream_info("COMMANDS")).state.messages)
    finally:
        await client.close()


async def test_poison_is_put_aside_and_everybody_else_goes_on(fault_stack: FaultStack, drill: Drill) -> None:
    bodies = _bodies()
    await _publish(fault_stack.data, bodies)
    for kind in ("ok", "fail", "nap", "flaky"):
        drill.submit("owner", kind)

    def aside() -> bool:
        told = [event for event in fault_stack.read_events() if event["type"].startswith(_ASIDE)]
        ids = {event["data"].get("message_id") or event["data"].get("command_id") for event in told}
        return set(bodies) <= ids

    await_that(aside, "an event for each of them", 90)
    outcome = drill.reckon()
    assert outcome.broken == [], "\n".join([*outcome.broken, *drill.trace])
    assert await _left(fault_stack.data) == 0
    assert fault_stack.runs("scheduler")
