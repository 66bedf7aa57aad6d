"""A running stack is backed up and a copy of it goes on: what ended stays ended, what ran runs again."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.support.jobs import get, logs, submit, until, until_ended
from tests.support.stack import Stack, run_stack, shunter


def _run(*words: str) -> dict[str, Any]:
    done = subprocess.run([shunter(), *words, "--json"], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_copy_of_a_running_stack_goes_on_where_the_backup_was_taken(stack: Stack, tmp_path: Path) -> None:
    client = stack.client()
    gate, count = tmp_path / "gate", tmp_path / "count"
    ended = submit(
        client, "sh", "-c", f"echo once; echo x >> {count}; echo result > out.txt", outputs=[{"path": "out.txt"}]
    )
    record = until_ended(client, ended)
    assert record["state"] == "succeeded", record
    running = submit(client, "sh", "-c", f"until test -e {gate}; do sleep 0.1; done; echo ran", retries={"max": 1})
    until(client, running, "running")
    held = submit(client, "true", hold=True)
    until(client, held, "held")

    made = _run("backup", str(tmp_path / "lab.tar.gz"), "--data", str(stack.data))
    assert made["objects"] >= 2
    # A copy must not run beside a job of its original.
    gate.touch()
    assert until_ended(client, running)["attempt"] == 1
    _run("restore", str(tmp_path / "lab.tar.gz"), "--data", str(tmp_path / "copy"))

    with run_stack(tmp_path / "copy") as copy:
        client = copy.client()
        assert get(client, ended) == {**record, "links": get(client, ended)["links"]}
        assert logs(client, ended) == b"once\n"
        assert client.get(f"/v1/jobs/{ended}/files/outputs/out.txt", follow_redirects=True).text == "result\n"
        again = until_ended(client, running)
        assert (again["state"], again["attempt"]) == ("succeeded", 2)
        assert client.post(f"/v1/jobs/{held}/start").status_code < 300
        assert until_ended(client, held)["state"] == "succeeded"
        assert until_ended(client, submit(client, "true"))["state"] == "succeeded"
        admin = copy.client("admin")
        assert admin.post("/v1/audit/replay").json()["equal"] is True
        site = admin.get("/v1/admin/health").json()
        assert [one for one in site["findings"] if one["severity"] == "critical" and one["part"] != "disk"] == []
    assert count.read_text() == "x\n"
