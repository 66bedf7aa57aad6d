"""The embedded stack, started and stopped as its users do it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from functools import partial
from pathlib import Path

import httpx
import psutil
import pytest

from tests.support.fault_stack import await_that
from tests.support.jobs import logs, submit, until_ended
from tests.support.stack import Stack, free_base, run_stack, shunter

_PARTS = {"nats", "temporal", "s3", "scheduler", "storage", "accounting", "runner", "gateway"}
_BUSY = 60.0
"""Seconds for an answer where other tests run beside this one."""


def _assert_nothing_left(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=30)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []


def _is_private(path: Path) -> bool:
    return path.stat().st_mode & 0o077 == 0


def _is_well(url: str) -> bool:
    """Say whether a part is; on a busy machine what it needs may not answer it in time, once."""
    return httpx.get(url, timeout=_BUSY, trust_env=False).status_code < 500


def test_when_it_is_ready_every_part_answers_and_says_where_it_is(stack: Stack) -> None:
    assert set(stack.ready["parts"]) == _PARTS
    for name, part in stack.ready["parts"].items():
        await_that(partial(_is_well, part["ready_url"]), name)
        assert psutil.pid_exists(stack.alive[name]), name
        assert Path(part["log"]).exists(), name
    ui = stack.ready["temporal_ui"]
    assert httpx.get(stack.ready["docs"], timeout=_BUSY, trust_env=False).status_code == 200
    assert httpx.get(ui, timeout=_BUSY, trust_env=False, follow_redirects=True).status_code == 200


def test_who_takes_work_in_goes_before_who_runs_it_and_jobs_come_last(stack: Stack) -> None:
    nice = {name: os.getpriority(os.PRIO_PROCESS, pid) for name, pid in stack.alive.items()}
    assert nice["gateway"] == nice["nats"] < nice["scheduler"] < nice["temporal"] == nice["runner"]
    client = stack.client()
    job = submit(client, "sh", "-c", "nice; cat /proc/self/autogroup || true")
    until_ended(client, job)
    said = logs(client, job).split()
    assert int(said[0]) == nice["runner"]
    if Path("/proc/self/autogroup").exists():
        assert int(said[-1]) == nice["runner"]


def test_demo_users_come_in_with_their_tokens_and_nobody_without(stack: Stack) -> None:
    assert {"owner", "other", "low", "none", "ci", "admin"} == set(stack.tokens)
    for user in stack.tokens:
        assert stack.client(user).get("/v1/whoami").json()["subject"] == user
    assert httpx.get(f"{stack.url}/v1/whoami", trust_env=False).status_code == 401


def test_only_its_owner_can_read_what_is_secret(stack: Stack) -> None:
    config = (stack.data / "shunter.yaml").read_text()
    for name in ("shunter.yaml", "secrets.json", "demo.json", "stack.json"):
        assert _is_private(stack.data / name), name
    assert not any(token in config for token in stack.tokens.values())


def test_everything_listens_on_loopback_only(stack: Stack) -> None:
    listening = [
        connection.laddr
        for process in stack.processes()
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= len(_PARTS)
    assert {address.ip for address in listening} <= {"127.0.0.1", "::1"}


def test_a_second_stack_on_the_same_folder_is_refused(stack: Stack) -> None:
    second = subprocess.run(
        [shunter(), "up", "--data", str(stack.data), "--port", str(free_base())],
        capture_output=True,
        text=True,
        check=False,
    )
    assert second.returncode == 1
    assert f"a stack runs on {stack.data} already" in second.stderr


def test_a_busy_port_is_named_and_another_range_suggested(stack: Stack, tmp_path: Path) -> None:
    second = subprocess.run(
        [shunter(), "up", "--data", str(tmp_path), "--port", str(stack.port)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert second.returncode == 1
    assert f"{stack.port} (gateway)" in second.stderr
    assert "try --port" in second.stderr


@pytest.mark.slow
def test_demo_users_come_in_by_the_issuer_beside_the_stack_and_it_goes_with_the_stack(tmp_path: Path) -> None:
    """Alone covers `--oidc`: the real issuer as a part of the stack, and what `demo.json` says of it."""
    with run_stack(tmp_path, "--demo", "--oidc") as stack:
        assert set(stack.ready["parts"]) == {*_PARTS, "issuer"}
        told = json.loads((tmp_path / "demo.json").read_text())["oidc"]
        account = told["accounts"]["owner"]
        got = httpx.post(
            told["token_endpoint"],
            data={"grant_type": account["grant_type"]},
            auth=(account["client_id"], account["client_secret"]),
            trust_env=False,
        ).json()
        headers = {"Authorization": f"Bearer {got['access_token']}"}
        with httpx.Client(base_url=stack.url, headers=headers, trust_env=False, timeout=30) as client:
            assert client.get("/v1/whoami").json()["subject"] == "owner"
            assert until_ended(stack.client("owner"), submit(client, "true"))["state"] == "succeeded"
        family = stack.processes()
        assert stack.stop(signal.SIGTERM) == 0
        _assert_nothing_left(family)


@pytest.mark.slow
def test_a_restart_goes_on_where_it_was_and_stopping_leaves_nothing(tmp_path: Path) -> None:
    """Alone covers SIGTERM and `down` on a real stack, and that a folder keeps jobs and files."""
    base = free_base()
    with run_stack(tmp_path, "--demo", port=base) as first:
        job = submit(first.client(), "echo", "kept")
        assert until_ended(first.client(), job)["state"] == "succeeded"
        tokens, family = first.tokens, first.processes()
        assert first.stop(signal.SIGTERM) == 0
        _assert_nothing_left(family)

    command = [shunter(), "up", "--demo", "--detach", "--json", "--data", str(tmp_path), "--port", str(base)]
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    record = json.loads(again.stdout)
    supervisor = psutil.Process(record["pid"])
    family = [supervisor, *supervisor.children(recursive=True)]
    try:
        headers = {"Authorization": f"Bearer {tokens['owner']}"}
        found = httpx.get(f"{record['gateway']}/v1/jobs/{job}/logs", headers=headers, trust_env=False, timeout=20)
        assert found.content == b"kept\n"
    finally:
        assert subprocess.run([shunter(), "down", "--data", str(tmp_path)], check=False).returncode == 0
    _assert_nothing_left(family)


@pytest.mark.slow
def test_a_killed_stack_leaves_nothing_and_can_be_started_again(tmp_path: Path) -> None:
    """Alone covers `kill -9` of the whole stack's parent."""
    base = free_base()
    with run_stack(tmp_path, "--demo", port=base) as first:
        family = first.processes()
        os.kill(first.process.pid, signal.SIGKILL)
        psutil.wait_procs(family, timeout=20)
        _assert_nothing_left(family)
    with run_stack(tmp_path, "--demo", port=base) as second:
        assert set(second.ready["parts"]) == _PARTS
