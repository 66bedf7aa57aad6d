"""A further gateway beside a site that runs: one dialect, at the root of a port of its own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from .configuration import config_path
from .ports import is_free
from .servers import StartError

__all__ = ["dialect_names", "serve_dialect"]

_CONFIG = "SHUNTER_CONFIG"


def dialect_names() -> Sequence[str]:
    """Return the names of other systems' APIs that the gateway speaks."""
    found: Sequence[str] = import_module("services.gateway.settings").DIALECT_NAMES
    return found


def serve_dialect(dialect: str | None, host: str, port: int, data: Path | None) -> None:
    """Serve until told to stop, with the settings of *data*, else those that the environment names."""
    if dialect is not None and dialect not in dialect_names():
        raise StartError(f"there is no dialect {dialect!r}; there are: {', '.join(dialect_names())}")
    config = config_path(data.absolute()) if data else Path(os.environ.get(_CONFIG, ""))
    if not config.is_file():
        raise StartError("which site? say --data, or name its settings in SHUNTER_CONFIG")
    if not is_free(port):
        raise StartError(f"somebody listens on port {port} already")
    os.environ[_CONFIG] = str(config)
    import_module("services.gateway.main").run_beside(dialect, host, port)
