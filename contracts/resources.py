"""What a workload asks for."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, ByteSize, Field, PlainSerializer, field_validator

from .model import Model
from .words import refuse_flag

__all__ = ["Bytes", "Gpus", "Resources", "Span"]

_SPAN = re.compile(r"^\s*(?:(\d+)d)?\s*(?:(\d+)h)?\s*(?:(\d+)m)?\s*(?:(\d+(?:\.\d+)?)s)?\s*$")


def _parse_span(value: object) -> object:
    """Read `90s`, `10m`, `1h30m`, `2d`; anything else is left to pydantic (seconds, ISO 8601)."""
    if isinstance(value, str) and value.strip() and (found := _SPAN.match(value)):
        days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
        try:
            return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        except OverflowError:
            raise ValueError("the time is too long") from None
    return value


Span = Annotated[
    timedelta,
    BeforeValidator(_parse_span, json_schema_input_type=float | str),
    PlainSerializer(timedelta.total_seconds, return_type=float, when_used="json"),
]
"""A length of time: seconds, `1h30m` or ISO 8601; written as seconds."""

Bytes = Annotated[ByteSize, Field(gt=0, le=2**50, examples=["512MiB"])]
"""A size: bytes or `512MiB`; written as bytes."""


class Gpus(Model):
    """GPUs for each process."""

    count: int = Field(default=0, ge=0, le=1024)
    model: str | None = Field(default=None, max_length=64, pattern=r"^[A-Za-z0-9._ -]+$", examples=["a100"])
    memory: Bytes | None = None
    """At least this much memory on each."""
    architecture: str | None = Field(default=None, max_length=64, pattern=r"^[A-Za-z0-9._ -]+$", examples=["ampere"])
    """For backends that know it of their GPUs."""

    _no_flags = field_validator("*", mode="before")(refuse_flag)


class Resources(Model):
    """Room for a workload: `processes` on `nodes`, each with its cpus, memory and gpus."""

    nodes: int = Field(default=1, ge=1, le=10_000)
    processes: int = Field(default=1, ge=1, le=100_000)
    cpus: float = Field(default=1.0, gt=0, le=4096, allow_inf_nan=False)
    """Cores for each process; fractions are allowed."""
    memory: Bytes | None = None
    """Memory for each process; none means what the backend gives."""
    gpus: Gpus = Gpus()
    disk: Bytes | None = None
    walltime: Annotated[Span, Field(gt=timedelta(0), le=timedelta(days=365))] = timedelta(hours=1)
    """The longest it may run; it is ended after that."""

    _no_flags = field_validator("*", mode="before")(refuse_flag)

    @property
    def total_cpus(self) -> float:
        """Return the cores of all processes together."""
        return self.cpus * self.processes

    @property
    def total_gpus(self) -> int:
        """Return the GPUs of all processes together."""
        return self.gpus.count * self.processes

    @property
    def total_memory(self) -> int | None:
        """Return the bytes of all processes together, if any were asked for."""
        return None if self.memory is None else int(self.memory) * self.processes
