"""A further gateway beside a site that runs: one dialect, at the root of a port of its own."""

from __future__ import annotations

import os
from pathlib import Path

from services.gateway.settings import DIALECT_NAMES

from .configuration import config_path
from .ports import is_free
from .servers import StartError

__all__ = ["serve_dialect"]

_CONFIG = "SHUNTER_CONFIG"


def serve_dialect(dialect: str | None, host: str, port: int, data: Path | None) -> None:
    """Serve until told to stop, with the settings of *data*, else those that the environment names."""
    if dialect is not None and dialect not in DIALECT_NAMES:
        raise StartError(f"there is no dialect {dialect!r}; there are: {', '.join(DIALECT_NAMES)}")
    config = config_path(data.absolute()) if data else Path(os.environ.get(_CONFIG, ""))
    if not config.is_file():
        raise StartError("which site? say --data, or name its settings in SHUNTER_CONFIG")
    if not is_free(port):
        raise StartError(f"somebody listens on port {port} already")
    os.environ[_CONFIG] = str(config)
    from services.gateway.main import run_beside

    run_beside(dialect, host, port)
