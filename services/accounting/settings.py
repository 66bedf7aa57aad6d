"""Settings of the accounting service."""

from __future__ import annotations

from pydantic import BaseModel

from services.chassis.settings import ChassisSettings, Server

__all__ = ["AccountingSection", "AccountingSettings"]


class AccountingSection(BaseModel):
    """What is under `accounting` in the file."""

    health: Server = Server(port=8814)
    database_url: str | None = None
    """By default a SQLite file in the data folder."""


class AccountingSettings(ChassisSettings):
    """The common part and our own section."""

    accounting: AccountingSection = AccountingSection()

    @property
    def database_url(self) -> str:
        """Return where the ledger lies."""
        default = f"sqlite+aiosqlite:///{self.data.absolute() / 'db' / 'accounting.db'}"
        return self.accounting.database_url or default
