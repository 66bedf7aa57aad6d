"""Webhooks from end to end on the demo stack: a real job, the command line, and a receiver on this machine."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path

import httpx

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


async def test_a_psik_job_is_told_of_as_psik_does_and_so_is_its_restart(stack: Stack) -> None:
    headers = {"Authorization": f"Bearer {stack.tokens['owner']}"}
    async with (
        run_receiver() as receiver,
        httpx.AsyncClient(base_url=f"{stack.url}/psik/v1", headers=headers, trust_env=False, timeout=60) as client,
    ):
        wish = {"script": "exit 0", "callback": receiver.url("/psik"), "cb_secret": "s3cret"}
        made = await client.post("/jobs", json=wish)
        assert made.status_code == 200, made.text
        jobid = made.json()
        await receiver.until(3)
        started = await client.post(f"/jobs/{jobid}/start")
        assert started.status_code == 200, started.text
        got = await receiver.until(6)
    told = [json.loads(one.body) for one in got]
    steps = [(1, "queued"), (1, "active"), (1, "completed"), (2, "queued"), (2, "active"), (2, "completed")]
    assert [(step["jobndx"], step["state"]) for step in told] == steps
    assert {step["jobid"] for step in told} == {jobid}
    assert all(one.headers[SIGNATURE] == sign("s3cret", one.body) for one in got)
