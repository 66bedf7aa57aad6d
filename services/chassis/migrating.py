"""What runs Alembic, in a process of its own; it imports as little as it can, for a new site waits for it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from alembic import command
from alembic.config import Config

from .database import MIGRATION_URL

__all__ = ["alembic_config", "main"]

_HERE = Path(__file__).parent


def alembic_config(service: str, url: str) -> Config:
    """Return Alembic's configuration for one service."""
    config = Config()
    config.set_main_option("script_location", str(_HERE / "alembic"))
    config.set_main_option("version_locations", str(_HERE.parent / service / "migrations"))
    config.set_main_option("path_separator", "os")
    config.attributes["url"] = url
    return config


def main(service: str) -> None:
    """Upgrade the database that the environment names; `python -m services.chassis.migrating SERVICE`."""
    command.upgrade(alembic_config(service, os.environ[MIGRATION_URL]), "head")


if __name__ == "__main__":
    main(sys.argv[1])
