"""Every bad message on every subject, said at once, so that all else is tried while they are being dealt with."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

import nats
import yaml
from nats.aio.client import Client
from nats.errors import MaxPayloadError

from contracts.commands import COMMANDS
from contracts.events import EVENTS
from contracts.subjects import event_subject, log_subject, report_subject, task_subject
from tests.support.hostile import LIMIT
from tests.support.stack import Stack

from .entry import How, load

__all__ = ["UNKNOWN", "connect", "publish", "say_all"]

UNKNOWN = "job-" + "f" * 32
"""A job that nobody submitted."""


async def connect(stack: Stack) -> Client:
    """Connect with the rights of the services themselves: only whoever stole those can forge anything."""
    settings = yaml.safe_load((stack.data / "shunter.yaml").read_text())["nats"]
    return await nats.connect(settings["url"], user=settings.get("user"), password=settings.get("password"))


async def publish(wire: Client, subject: str, payload: bytes, headers: Mapping[str, str] | None = None) -> None:
    """Publish into a stream, unless not even our own client would."""
    with suppress(MaxPayloadError):
        await wire.jetstream(timeout=LIMIT).publish(subject, payload, headers=dict(headers) if headers else None)


async def say_all(stack: Stack) -> int:
    """Say everything; return how many messages that was."""
    wire = await connect(stack)
    said = 0
    for subject in _subjects():
        for entry in load(How.MESSAGE):
            # What is large is so for whoever reads it, not for each subject again.
            if len(entry.value) > 10**6 and subject.endswith(".x") and "submit" not in subject:
                continue
            said += 1
            await publish(wire, subject, entry.value.replace(b'"forged"', b'"forged-%d"' % said), entry.headers)
    await wire.close()
    return said


def _subjects() -> list[str]:
    commands = [f"commands.{kind.service}.{kind.name}.x" for kind in COMMANDS]
    facts = [kind.name.partition(".") for kind in EVENTS]
    events = [event_subject(noun, fact, "x") for noun, _, fact in facts]
    forged = ["commands.scheduler.x", "commands.storage.no.such.x.y.z", task_subject("local", "x", "y")]
    return [*commands, *events, *forged, report_subject(UNKNOWN, "x"), log_subject(UNKNOWN, "x", "stdout")]
