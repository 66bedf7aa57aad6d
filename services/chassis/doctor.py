"""A service looks at itself: probes side by side, each with a limit of its own, so that the answer always comes."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

from sqlalchemy import Table, func, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.errors import ShunterError
from contracts.model import now
from contracts.operations import Diagnosis, Finding, Severity
from contracts.queries import Health

from .migrations import newest_revision
from .unit import reading

__all__ = ["Doctor", "Probe", "probe_dependencies", "probe_disk", "probe_outbox", "probe_schema"]

Probe = Callable[[], Awaitable[Iterable[Finding]]]
"""Looks at one thing; returns what is wrong with it."""

_PATIENCE = 2.5
"""Seconds that a probe has."""
_OLD = 30.0
"""Seconds after which a row that waits to be said is worth a word; the relay says it again every two."""
_VERY_OLD = 300.0
_TIGHT, _FULL = 2 * 2**30, 512 * 2**20
"""Bytes that are free on a disk when it is worth a warning, and when work stands still soon."""

_NAMES = {
    "nats": ("NATS does not answer", "`shunter up` starts it again; see <data>/logs/nats.log"),
    "temporal": ("Temporal does not answer: accepted jobs wait, nothing is lost", "see <data>/logs/temporal.log"),
    "s3": ("the object store does not answer: inputs and outputs wait", "see <data>/logs/s3.log; is its disk full?"),
    "database": ("the database does not answer", "is its disk full or its file locked? then restart the service"),
}


class Doctor:
    """The probes of one service."""

    def __init__(self, service: str, *, patience: float = _PATIENCE) -> None:
        self._service = service
        self._patience = patience
        self._probes: dict[str, tuple[Probe, float]] = {}

    def add(self, name: str, probe: Probe, *, patience: float | None = None) -> None:
        """Name a probe."""
        self._probes[name] = (probe, patience or self._patience)

    async def look(self) -> Diagnosis:
        """Run every probe, all at once."""
        outcomes = await asyncio.gather(*(self._run(probe, limit) for probe, limit in self._probes.values()))
        probes = {name: word for name, (_, word) in zip(self._probes, outcomes, strict=True)}
        findings = [finding for found, _ in outcomes for finding in found]
        return Diagnosis(service=self._service, findings=findings, probes=probes)

    @staticmethod
    async def _run(probe: Probe, limit: float) -> tuple[list[Finding], str]:
        try:
            async with asyncio.timeout(limit):
                return list(await probe()), "ok"
        except TimeoutError:
            return [], f"no answer within {limit:g} s"
        except ShunterError as error:
            return [], error.detail
        except Exception as error:  # noqa: BLE001 (a probe that breaks is an answer too)
            return [], f"{type(error).__name__}: {error}"[:200]


def probe_dependencies(service: str, look: Callable[[], Awaitable[Health]]) -> Probe:
    """Say which of the things that a service stands on do not answer."""

    async def probe() -> list[Finding]:
        checks = (await look()).checks
        return [_away(service, name, said) for name, said in checks.items() if said != "ok"]

    return probe


def _away(service: str, name: str, said: str) -> Finding:
    if name == "drain":
        return Finding(code="service-draining", severity=Severity.NOTE, part=service, what=f"{service} is stopping")
    what, remedy = _NAMES.get(name, (f"{name} is not well", f"see the log of {service}"))
    # The bus is asked by way of the bus: here it is a stream that is missing, not NATS.
    return Finding(
        code=f"{name}-away",
        severity=Severity.CRITICAL,
        part=name,
        what=what,
        evidence=[f"{service}: {said}"],
        cause="it is down, starting, or out of reach",
        remedy=remedy,
    )


def probe_outbox(service: str, engine: AsyncEngine, outbox: Table) -> Probe:
    """Say which sinks are behind, and how old what waits there is."""
    waiting = (
        select(outbox.c.sink, func.count(), func.min(outbox.c.created_at))
        .where(outbox.c.sent_at.is_(None))
        .group_by(outbox.c.sink)
    )

    async def probe() -> list[Finding]:
        async with engine.connect() as connection:
            rows = (await (await reading(connection)).execute(waiting)).all()
        ages = [(sink, count, (now() - oldest).total_seconds()) for sink, count, oldest in rows]
        return [_behind(service, sink, count, age) for sink, count, age in ages if age > _OLD]

    return probe


def _behind(service: str, sink: str, count: int, age: float) -> Finding:
    target = "Temporal" if sink == "temporal" else "NATS"
    return Finding(
        code="outbox-behind",
        severity=Severity.CRITICAL if age > _VERY_OLD else Severity.WARNING,
        part=service,
        what=f"{count} rows of {service} wait to be said to {target}, the oldest for {age:.0f} s",
        evidence=[f"sink={sink}", f"rows={count}", f"oldest={age:.0f}s"],
        cause=f"{target} is away, or refuses these rows: see `relay.retry` in the log of {service}",
        remedy=f"grep relay.retry <data>/logs/{service}.log; when {target} is well they go by themselves",
    )


def probe_schema(service: str, engine: AsyncEngine) -> Probe:
    """Say whether the database has the schema that this code expects."""

    async def probe() -> list[Finding]:
        async with engine.connect() as connection:
            there = (
                await (await reading(connection)).execute(text("SELECT version_num FROM alembic_version"))
            ).scalar()
        wanted = newest_revision(service)
        if there == wanted:
            return []
        return [
            Finding(
                code="schema-differs",
                severity=Severity.CRITICAL,
                part=service,
                what=f"the database of {service} has schema {there}, this release expects {wanted}",
                evidence=[f"there={there}", f"expected={wanted}"],
                cause="another release wrote it, or a backup of another release was restored",
                remedy=f"restart {service} with the release that fits; an older schema is upgraded at its start",
            )
        ]

    return probe


def _usage_of(folder: Path) -> Any:
    """Ask for the disk on which the folder is or will be."""
    return shutil.disk_usage(next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists()))


def probe_disk(folder: Path) -> Probe:
    """Say whether the disk of the data is nearly full."""

    async def probe() -> list[Finding]:
        usage = await asyncio.to_thread(_usage_of, folder)
        if usage.free > _TIGHT:
            return []
        return [
            Finding(
                code="disk-full",
                severity=Severity.CRITICAL if usage.free < _FULL else Severity.WARNING,
                part="disk",
                what=f"the disk of {folder} is nearly full",
                evidence=[f"free={usage.free / 2**20:.0f} MiB"],
                cause="the data grew: logs and outputs of jobs, the event log, or something else on this disk",
                remedy=f"du -xh --max-depth=2 {folder} | sort -h | tail; then `shunter files rm` what nobody needs",
            )
        ]

    return probe
