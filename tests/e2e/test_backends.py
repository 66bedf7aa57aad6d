"""Backends of a running site: one is added to its file, checked, drained and taken away, all at the command line."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.engines import ENTRIES
from tests.support.jobs import submit, until_ended
from tests.support.stack import Stack, run_stack, shunter

_ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A site that can have engines of tests, but was started without."""
    path = os.pathsep.join([str(_ROOT), str(ENTRIES)])
    with run_stack(tmp_path_factory.mktemp("site"), environment={"PYTHONPATH": path}) as stack:
        yield stack


def _run(site: Stack, *words: str, user: str = "owner") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [shunter(), *words], env=site.environment(user), capture_output=True, text=True, timeout=240, check=False
    )


def _edit(site: Stack, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the section of the scheduler, as an operator does in an editor."""
    path = site.data / "shunter.yaml"
    settings = yaml.safe_load(path.read_text())
    change(settings["scheduler"])
    draft = path.with_suffix(".new")
    draft.write_text(yaml.safe_dump(settings, sort_keys=False))
    draft.rename(path)


def _until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline, f"waited for {what}"
        time.sleep(0.2)


def _names(site: Stack) -> list[str]:
    return [one["backend"] for one in json.loads(_run(site, "backends", "--json").stdout)["items"]]


def test_a_cluster_is_added_checked_drained_and_taken_away_without_a_restart(site: Stack) -> None:
    cluster = {"name": "own", "kind": "processes", "processes": {"folder": str(site.data / "own")}, "site": "basement"}
    _edit(site, lambda section: section["backends"].append(cluster))
    _until(lambda: "own" in _names(site), "the new backend")

    checked = _run(site, "backends", "check", "own", "--json", "--timeout", "60")
    promises = {one["promise"]: one for one in json.loads(checked.stdout)["promises"]}
    assert checked.returncode == 0, (promises, checked.stderr)
    kept = {name for name, one in promises.items() if one["outcome"] == "kept"}
    assert kept >= {"answers", "run", "input", "log", "output", "exit code", "cancel", "walltime", "array"}
    # It leaves nothing behind.
    assert not site.client().get("/v1/jobs", params={"label": "shunter-check=own"}).json()["items"]
    assert not site.client().get("/v1/files", params={"prefix": "shunter-check/"}).json()["items"]

    assert _run(site, "backends", "drain", "own").returncode == 3
    assert _run(site, "backends", "drain", "own", "-m", "new disks", user="admin").returncode == 0
    placed = _run(site, "submit", "--need", "site=basement", "--dry-run", "--", "true")
    assert "it is drained by admin (new disks)" in placed.stdout
    waits = submit(site.client(), "true", placement={"sites": ["basement"]})
    assert site.client().get(f"/v1/jobs/{waits}/explain").json()["why"] == "backend_away"
    assert _run(site, "backends", "resume", "own", user="admin").returncode == 0
    ended = until_ended(site.client(), waits)
    assert (ended["state"], ended["backend"]) == ("succeeded", "own")

    _edit(site, lambda section: section["backends"].pop())
    _until(lambda: "own" not in _names(site), "the backend to go")


def test_a_broken_edit_is_shown_to_operators_with_its_line(site: Stack) -> None:
    whole = (site.data / "shunter.yaml").read_text()
    _edit(site, lambda section: section["backends"].append({"name": "odd", "kind": "processes", "processes": {}}))

    def findings() -> list[str]:
        found = site.client("admin").get("/v1/admin/health").json()["findings"]
        return [line for one in found if one["code"] == "backends-broken" for line in one["evidence"]]

    _until(findings, "the finding")
    assert "processes.folder: Field required" in findings()[0]
    assert findings()[0].startswith("line ")
    assert "odd" not in _names(site)
    (site.data / "shunter.yaml").write_text(whole)
    _until(lambda: not findings(), "the finding to go")


def test_what_runs_on_this_machine_keeps_its_promises(site: Stack) -> None:
    checked = _run(site, "backends", "check", "local", "--timeout", "60")
    assert checked.returncode == 0, checked.stdout + checked.stderr
