"""Settings of the accounting service."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.accounting.settings import AccountingSettings


def test_the_ledger_lies_in_the_data_folder_by_default(tmp_path: Path) -> None:
    settings = AccountingSettings(data=tmp_path)
    assert settings.database_url == f"sqlite+aiosqlite:///{tmp_path}/db/accounting.db"
    assert settings.accounting.health.port == 8814


def test_the_section_and_the_environment_can_say_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "shunter.yaml"
    file.write_text("accounting: {database_url: 'postgresql+asyncpg://db/ledger', health: {port: 9000}}\n")
    monkeypatch.setenv("SHUNTER_CONFIG", str(file))
    monkeypatch.setenv("SHUNTER_ACCOUNTING__HEALTH__PORT", "9001")
    settings = AccountingSettings()
    assert settings.database_url == "postgresql+asyncpg://db/ledger"
    assert settings.accounting.health.port == 9001
