"""Webhooks from end to end on the demo stack: a real job, the command line, and a receiver on this machine."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path

from services.scheduler.webhooks.sending import SIGNATURE, sign
from tests.support.hooks import run_receiver
from tests.support.stack import Stack, shunter


def _run(stack: Stack, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [shunter(), *words], env=stack.environment(), capture_output=True, text=True, timeout=120, check=False
    )


async def _said(stack: Stack, *words: str) -> str:
    ended = await asyncio.to_thread(_run, stack, *words)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


async def test_a_job_tells_whom_it_should_and_a_subscription_is_tried(stack: Stack, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    await asyncio.to_thread(secret.write_text, "a long random word\n")
    async with run_receiver() as receiver:
        options = ("--callback", receiver.url("/job"), "--callback-secret-file", str(secret))
        job = json.loads(await _said(stack, "submit", *options, "--json", "--", "echo", "hello"))
        await _said(stack, "wait", job["id"])
        moves = json.loads(await _said(stack, "history", job["id"], "--json"))["transitions"]
        (*_, last) = await receiver.until(len(moves), path="/job")
        assert receiver.words("/job") == [move["state"] for move in moves]
        assert all(one.headers[SIGNATURE] == sign("a long random word", one.body) for one in receiver.got)
        assert last.event["subject"] == job["id"]
        await _said(stack, "subscriptions", "add", receiver.url("/all"), "--name", "e2e", "--secret-file", str(secret))
        assert "delivered" in await _said(stack, "subscriptions", "test", "e2e")
        assert "e2e" in await _said(stack, "subscriptions", "ls")
        await _said(stack, "subscriptions", "rm", "e2e")
        assert job["id"] in await _said(stack, "deliveries", "ls", "--job", job["id"])
    refused = await asyncio.to_thread(_run, stack, "submit", "--callback", "https://example.org/", "--", "true")
    assert refused.returncode == 2, refused.stderr
    assert "scheduler.webhooks.allow" in refused.stderr
