"""The ports of a stack: sixteen in a row, so that `--port N` moves everything."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass

from .servers import StartError

__all__ = ["ISSUER", "SPAN", "PortPlan", "is_free", "require_free", "suggest"]

SPAN = 16
"""Ports that a stack takes from its first one on."""

ISSUER = "issuer"
"""The issuer of a demo stack, where there is one: above the others, so that all stacks take the same ports in a row."""

_NAMES = (
    "gateway",
    "nats",
    "nats monitor",
    "temporal",
    "temporal ui",
    "temporal http",
    "temporal metrics",
    "s3",
    "s3 master",
    "s3 volume",
    "s3 filer",
    "s3 admin",
    "scheduler",
    "storage",
    "accounting",
    "runner",
)
_ABOVE = 10_000
"""SeaweedFS listens for its own parts this far above each of its ports."""
_EPHEMERAL = 32_768
"""From here on the system gives ports to outgoing connections."""
_HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class PortPlan:
    """Who listens where, counted from *base*."""

    base: int

    def __post_init__(self) -> None:
        highest = self.base + _NAMES.index("s3 admin") + _ABOVE
        if self.base < 1024 or highest >= _EPHEMERAL:
            last = _EPHEMERAL - 1 - highest + self.base
            raise StartError(f"--port must be between 1024 and {last}, so that all ports of the stack fit; try 8800")

    def __getitem__(self, name: str) -> int:
        """Return the port of one listener."""
        if name == ISSUER:
            return self.base + _ABOVE
        return self.base + _NAMES.index(name)

    @property
    def s3_inner(self) -> tuple[int, ...]:
        """Return the ports of SeaweedFS's inner parts: master, volume, filer, admin."""
        return tuple(self[f"s3 {inner}"] for inner in ("master", "volume", "filer", "admin"))

    def listeners(self) -> Iterator[tuple[str, int]]:
        """Give every port that will be listened on, with its user."""
        for name in _NAMES:
            yield name, self[name]
            if name.startswith("s3"):
                yield f"{name} (inner)", self[name] + _ABOVE


def is_free(port: int) -> bool:
    """Say whether one could listen on *port*; connections that linger from an earlier run do not count."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((_HOST, port))
        except OSError:
            return False
    return True


def suggest(base: int) -> int | None:
    """Return the next free range after *base*, if there is one."""
    for candidate in range(base + SPAN, 22_000, SPAN):
        if all(is_free(port) for _, port in PortPlan(candidate).listeners()):
            return candidate
    return None


def require_free(plan: PortPlan, *, issuer: bool = False) -> None:
    """Refuse to start when somebody listens on one of the ports."""
    wanted = [*plan.listeners(), *([(ISSUER, plan[ISSUER])] if issuer else [])]
    busy = [f"{port} ({name})" for name, port in wanted if not is_free(port)]
    if busy:
        other = suggest(plan.base)
        way_out = f"; try --port {other}" if other else ""
        raise StartError(f"these ports are busy: {', '.join(busy)}{way_out}")
