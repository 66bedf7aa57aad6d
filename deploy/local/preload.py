"""Imports the services once: they are forked from here and share the memory. See docs/decisions/0004."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterable
from importlib import import_module

from .servers import StartError

__all__ = ["preload"]

_LATER = (
    "aiosqlite",
    "anyio._backends._asyncio",
    "anyio.streams.tls",
    "encodings.idna",
    "httpcore",
    "nats.js",
    "services.scheduler.runner.runner",
    "sqlalchemy.dialects.sqlite.aiosqlite",
    "uvicorn.lifespan.off",
    "uvicorn.loops.uvloop",
    "uvicorn.protocols.http.auto",
    "uvicorn.protocols.http.httptools_impl",
    "uvicorn.protocols.websockets.auto",
    "uvloop",
)
"""What the services' libraries import only when they begin to work."""


def preload(services: Iterable[str]) -> None:
    """Import the services' modules and freeze them, so that the garbage collector does not touch (and copy) them."""
    gc.disable()  # hardly anything of what an import makes is garbage, and looking for it takes a fifth of the time
    for name in (*services, *_LATER):
        import_module(name)
    gc.enable()
    if threading.active_count() > 1:
        # A fork keeps only its own thread; a lock that another one holds would never be released.
        raise StartError(f"an import has started a thread: {threading.enumerate()}")
    gc.collect()
    gc.freeze()
