"""Follows the file of settings: its backends and policies change while work runs; a broken edit changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path

import structlog
from prometheus_client import Counter, Gauge

from contracts.backends import BackendsBroken, BackendsLoaded
from contracts.catalog import CatalogFault
from contracts.envelope import Context
from contracts.errors import ShunterError
from contracts.fact import Event
from contracts.model import now
from contracts.operations import Finding, Severity
from services.chassis.unit import UnitOfWork
from services.scheduler.backends.base import Backend
from services.scheduler.backends.facts import BackendFacts
from services.scheduler.backends.registry import Backends
from services.scheduler.catalog.sources import FileSource
from services.scheduler.settings import BackendSettings, PullSettings

from .drains import DrainService
from .file import BrokenFileError, Sections, read_sections
from .memory import Memory
from .placer import Placer

__all__ = ["Pulled", "Roster"]

_FAULTS = Gauge("shunter_backends_faults", "What is wrong with backends in the file of settings; 0 while it is in use")
_READS = Counter(
    "shunter_backends_reads", "Changed files of settings whose backends were read, by outcome", ["outcome"]
)

log = structlog.get_logger(__name__)


class Roster:
    """Keeps the backends as the file says. Without a file they stay as they were configured at the start."""

    def __init__(
        self,
        *,
        unit: UnitOfWork,
        backends: Backends,
        placer: Placer,
        drains: DrainService,
        make: Callable[[BackendSettings], Backend],
        file: Path | None,
        memory: Memory,
        every: float,
        changed: Callable[[], Awaitable[object]],
    ) -> None:
        self._unit = unit
        self._backends = backends
        self._placer = placer
        self._drains = drains
        self._make = make
        self._source = FileSource(file) if file else None
        self._memory = memory
        self._every = every
        self._changed = changed
        self._stamp: str | None = None
        self._faults: list[CatalogFault] = []

    async def open(self) -> None:
        """Know who is drained, and those that were configured away and have work still."""
        await self._drains.load()
        for settings in await self._memory.left_behind(self._backends.names):
            self._backends.remember(self._make(settings), settings)
            log.warning("backend.left_behind", backend=settings.name)
        await self._memory.keep(self._settings())

    async def run(self) -> None:
        """Look again and again until cancelled."""
        while True:
            await asyncio.sleep(self._every)
            try:
                await self.look()
            except ShunterError as error:
                log.warning("backends.postponed", detail=error.detail)
            except Exception:
                log.exception("backends.failed")

    async def look(self) -> None:
        """Take over what was changed, in the file or by another replica."""
        await self._drains.load()
        if self._source is None:
            return
        stamp = await self._source.stamp()
        if stamp is None or stamp == self._stamp:
            return
        raw = await self._source.read()
        if raw is None:
            return
        try:
            sections = read_sections(raw)
            self._refuse_other_kinds(sections)
            await self._take(sections)
        except BrokenFileError as error:
            await self._refuse(error.faults)
        self._stamp = stamp

    async def findings(self) -> list[Finding]:
        """Say what is wrong with the file: the probe of the doctor."""
        return [_finding(self._source.name, self._faults)] if self._faults and self._source else []

    async def _refuse(self, faults: list[CatalogFault]) -> None:
        if faults != self._faults:
            log.warning("backends.broken", faults=[_line_of(fault) for fault in faults])
            await self._tell(BackendsBroken(faults=faults, at=now()), "broken")
        self._set(faults)

    def _refuse_other_kinds(self, sections: Sections) -> None:
        """Refuse a backend that is of another kind than its namesake: nobody would find the work of that one."""
        for place, settings in enumerate(sections.backends):
            old = self._backends.get(settings.name)
            if old is not None and old.kind != settings.kind:
                message = f"{settings.name!r} is of kind {old.kind!r} and may have work: give the new one another name"
                raise BrokenFileError([CatalogFault(field=f"scheduler.backends.{place}.kind", message=message)])

    async def _take(self, sections: Sections) -> None:
        before, after = self._settings(), {item.name: item for item in sections.backends}
        added = [name for name in after if name not in before]
        changed = [name for name in after if name in before and after[name] != before[name]]
        removed = [name for name in before if name not in after]
        # Made before any is put in its place: an edit counts as a whole or not at all.
        made = self._made([after[name] for name in added + changed if _is_other(before.get(name), after[name])])
        for name in added + changed:
            if name in made:
                self._backends.put(made[name], after[name])
            else:
                self._backends.describe(name, after[name])
        for name in removed:
            self._backends.retire(name)
        self._backends.arrange(list(after))
        is_news = bool(added or changed or removed or self._faults or sections.placement != self._placer.settings)
        self._placer.settings = sections.placement
        self._set([])
        if is_news:
            await self._memory.keep(after)
            log.info("backends.loaded", added=added, changed=changed, removed=removed)
            await self._tell(BackendsLoaded(added=added, changed=changed, removed=removed, at=now()), "loaded")
            await self._changed()

    def _made(self, wanted: list[BackendSettings]) -> dict[str, Backend]:
        made: dict[str, Backend] = {}
        for settings in wanted:
            try:
                made[settings.name] = self._make(settings)
            except ShunterError as error:
                fault = CatalogFault(field=f"scheduler.backends ({settings.name})", message=error.detail)
                raise BrokenFileError([fault]) from error
        return made

    def _settings(self) -> dict[str, BackendSettings]:
        """Return the settings by which the present backends were made."""
        known = {name: self._backends.facts_of(name) for name in self._backends.names}
        return {name: facts for name, facts in known.items() if isinstance(facts, BackendSettings)}

    async def _tell(self, event: Event, outcome: str) -> None:
        async with self._unit.begin(Context.start("service:scheduler")) as work:
            work.send(event)
        _READS.labels(outcome).inc()

    def _set(self, faults: list[CatalogFault]) -> None:
        self._faults = faults
        _FAULTS.set(len(faults))


class Pulled(Mapping[str, PullSettings]):
    """The settings of those backends from which outside workers lease, as they are at the moment."""

    def __init__(self, backends: Backends) -> None:
        self._backends = backends

    def __getitem__(self, name: str) -> PullSettings:
        facts = self._backends.facts_of(name)
        if isinstance(facts, BackendSettings) and facts.kind == "pull":
            return facts.pull
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return (name for name in [*self._backends.names, *self._backends.retired] if self._is_one(name))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _is_one(self, name: str) -> bool:
        facts = self._backends.facts_of(name)
        return isinstance(facts, BackendSettings) and facts.kind == "pull"


def _is_other(old: BackendSettings | None, new: BackendSettings) -> bool:
    """Say whether a backend must be made anew; what is only known of it changes without that."""
    told = set(BackendFacts.model_fields)
    return old is None or old.model_dump(exclude=told) != new.model_dump(exclude=told)


def _line_of(fault: CatalogFault) -> str:
    place = f"line {fault.line}: " if fault.line else ""
    return f"{place}{fault.field}: {fault.message}" if fault.field else f"{place}{fault.message}"


def _finding(source: str, faults: list[CatalogFault]) -> Finding:
    return Finding(
        code="backends-broken",
        severity=Severity.WARNING,
        part="backends",
        what="what the file of settings says of backends cannot be used: they stay as they were",
        evidence=[_line_of(fault) for fault in faults[:10]],
        cause="its last edit is broken",
        remedy=f"mend {source}; it is read again within seconds",
    )
