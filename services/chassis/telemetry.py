"""Structured logs with the ids of the message at hand."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

from contracts.envelope import Context

from .settings import LogSettings

__all__ = ["bind_context", "configure_logging"]

_QUIET = ("faststream", "httpx", "httpcore", "temporalio", "uvicorn.access", "uvicorn.error", "aiosqlite")
"""Libraries that say at INFO what nobody asked, some of them once a message."""


def configure_logging(settings: LogSettings, service: str) -> None:
    """Send our own and the libraries' logs to stderr, one JSON object a line."""
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    renderer = structlog.processors.JSONRenderer() if settings.format == "json" else structlog.dev.ConsoleRenderer()
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=shared))
    logging.basicConfig(handlers=[handler], level=level, force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    structlog.contextvars.bind_contextvars(service=service)


def bind_context(context: Context, message_id: str) -> None:
    """Let every log line of this task name the message, its chain and its trace."""
    structlog.contextvars.bind_contextvars(
        message=message_id, correlation=context.correlation, actor=context.actor, trace=context.traceparent[3:35]
    )
