"""Structured logs on stderr."""

from __future__ import annotations

import logging
import sys

import structlog

from .settings import LogSettings

__all__ = ["configure_logging"]


def configure_logging(settings: LogSettings, name: str) -> None:
    """Send logs to stderr, one JSON object a line; libraries only say warnings."""
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    renderer = structlog.processors.JSONRenderer() if settings.format == "json" else structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    structlog.contextvars.bind_contextvars(service="runner", runner=name)
