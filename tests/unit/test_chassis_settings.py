"""Defaults, then the YAML file, then the environment; secrets do not show."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from services.chassis.settings import ChassisSettings, Server

YAML = """
data: /var/lib/shunter
nats: {url: "nats://nats:4222", user: site, password: secret}
drain: 30
gateway: {listen: {host: 0.0.0.0, port: 80}}
"""


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SHUNTER_CONFIG", "SHUNTER_DRAIN", "SHUNTER_NATS__URL", "SHUNTER_NATS__USER", "SHUNTER_TICKET_KEY"):
        monkeypatch.delenv(name, raising=False)


def test_without_anything_a_service_stays_on_this_machine() -> None:
    settings = ChassisSettings()
    assert settings.nats.url.startswith("nats://127.0.0.1:")
    assert Server(port=1).host == "127.0.0.1"


def test_the_file_wins_over_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "shunter.yaml"
    file.write_text(YAML)
    monkeypatch.setenv("SHUNTER_CONFIG", str(file))
    settings = ChassisSettings()
    assert settings.nats.url == "nats://nats:4222"
    assert settings.nats.password == SecretStr("secret")
    assert settings.drain == 30
    assert settings.log.level == "info"


def test_the_environment_wins_over_the_file_one_field_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "shunter.yaml"
    file.write_text(YAML)
    monkeypatch.setenv("SHUNTER_CONFIG", str(file))
    monkeypatch.setenv("SHUNTER_NATS__URL", "nats://other:4222")
    monkeypatch.setenv("SHUNTER_DRAIN", "3")
    settings = ChassisSettings()
    assert settings.nats.url == "nats://other:4222"
    assert settings.nats.user == "site"
    assert settings.drain == 3


def test_a_bad_value_names_its_field(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHUNTER_DRAIN", "soon")
    with pytest.raises(ValidationError, match="drain"):
        ChassisSettings()


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHUNTER_TICKET_KEY", "k" * 32)
    monkeypatch.setenv("SHUNTER_NATS__PASSWORD", "hunter2")
    assert "hunter2" not in repr(ChassisSettings())
    assert "kkk" not in repr(ChassisSettings())
