"""The scheduler's settings."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field

from services.chassis.settings import ChassisSettings, Server

__all__ = ["BackendSettings", "SchedulerSection", "SchedulerSettings", "TemporalSettings", "Watch"]


class TemporalSettings(BaseModel):
    """Where Temporal listens."""

    address: str = "127.0.0.1:8803"
    namespace: str = "shunter"
    task_queue: str = "shunter-workloads"


class BackendSettings(BaseModel):
    """One cluster."""

    name: str = Field(default="local", pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    kind: Literal["local"] = "local"


class Watch(BaseModel):
    """How attempts that say nothing are looked after. All in seconds."""

    every: float = Field(default=5.0, gt=0)
    """The pause between two looks."""
    silence: float = Field(default=30.0, gt=0)
    """An attempt without a sign of life for so long is looked up on its backend."""
    compare: float = Field(default=60.0, gt=0)
    """The pause between two comparisons of the table with Temporal."""
    settled: float = Field(default=30.0, ge=0)
    """What moved so lately may still be on its way from the one to the other."""


class SchedulerSection(BaseModel):
    """The part of the file under `scheduler`."""

    health: Server = Server(port=8812)
    database_url: str = ""
    """By default a SQLite file in the data folder."""
    temporal: TemporalSettings = TemporalSettings()
    backends: list[BackendSettings] = [BackendSettings()]
    watch: Watch = Watch()


class SchedulerSettings(ChassisSettings):
    """Everything that the scheduler reads."""

    scheduler: SchedulerSection = SchedulerSection()

    @property
    def database_url(self) -> str:
        """Return where the tables are."""
        path = Path(self.data) / "db" / "scheduler.db"
        return self.scheduler.database_url or f"sqlite+aiosqlite:///{path.resolve()}"
