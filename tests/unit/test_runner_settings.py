"""Settings of a runner come from the file, then from the environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from services.scheduler.runner.settings import RunnerSettings

YAML = """
data: /somewhere
nats: {url: "nats://127.0.0.1:1", user: ada, password: secret}
ticket_key: not-for-runners
runner: {backend: lab, name: r7, cpus: 3, memory: 2GiB, gpus: [1]}
gateway: {listen: {port: 1}}
"""


def test_the_file_is_read_and_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "shunter.yaml"
    config.write_text(YAML)
    monkeypatch.setenv("SHUNTER_CONFIG", str(config))
    monkeypatch.setenv("SHUNTER_RUNNER__CPUS", "5")
    settings = RunnerSettings()
    section = settings.runner
    assert (section.backend, section.name, section.cpus, section.memory) == ("lab", "r7", 5, 2 * 2**30)
    assert (section.gpus, settings.work) == ([1], Path("/somewhere/runner"))
    assert settings.nats.password
    assert settings.nats.password.get_secret_value() == "secret"


def test_without_any_the_machine_is_the_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHUNTER_CONFIG", raising=False)
    section = RunnerSettings().runner
    assert section.cpus == os.cpu_count()
    assert section.memory > 2**28
    assert section.gpus is None
    assert section.path.startswith(str(Path(sys.executable).parent) + os.pathsep)
    assert section.health.port == 8815
