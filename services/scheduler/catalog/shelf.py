"""Holds what the site offers: follows the file as it is changed, and keeps what was good when an edit is broken."""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import dataclass, replace

import structlog
from prometheus_client import Counter, Gauge

from contracts.catalog import Catalog, CatalogBroken, CatalogFault, CatalogLoaded, Entrypoint, ListApplications
from contracts.envelope import Context
from contracts.errors import UnavailableError
from contracts.model import now
from contracts.operations import Finding, Severity
from services.chassis.unit import UnitOfWork

from .reading import BrokenCatalogError, read_catalog
from .sources import Source
from .store import Kept, find_kept, keep

__all__ = ["Shelf"]

_GONE = "gone"
"""Stands for the checksum of a file that was there once."""

_OFFERED = Gauge("shunter_catalog_entrypoints", "Entrypoints of applications that are offered")
_FAULTS = Gauge("shunter_catalog_faults", "What is wrong in the file of applications; 0 while it is what is offered")
_READS = Counter("shunter_catalog_reads", "Changed files of applications that were read, by outcome", ["outcome"])

log = structlog.get_logger(__name__)

Books = dict[str, dict[str, dict[str, Entrypoint]]]


@dataclass(frozen=True, slots=True)
class _Edit:
    """A file as it was just read."""

    sha256: str | None
    content: bytes = b""
    books: Books | None = None
    """None if it cannot be used."""
    faults: tuple[CatalogFault, ...] = ()


class Shelf:
    """Looks at the file now and then, and before each use where that costs nothing."""

    def __init__(self, *, unit: UnitOfWork, source: Source, every: float) -> None:
        self._unit = unit
        self._source = source
        self._every = every
        self._catalog: Catalog | None = None
        self._stamp: str | None = None
        self._looked = 0.0
        self._looking = asyncio.Lock()

    async def run(self) -> None:
        """Look again and again until cancelled."""
        while True:
            try:
                await self.look()
            except Exception:
                log.exception("catalog.failed")
            await asyncio.sleep(self._every)

    async def current(self) -> Catalog:
        """Return what is offered now."""
        if self._catalog is None or self._source.is_near or time.monotonic() - self._looked > self._every:
            await self.look()
        assert self._catalog is not None
        return self._catalog

    async def answer(self, query: ListApplications) -> Catalog:
        """Answer what is offered; what is wrong with the file concerns operators alone."""
        catalog = await self.current()
        return catalog if query.principal.is_admin else catalog.model_copy(update={"faults": []})

    async def findings(self) -> list[Finding]:
        """Say what is wrong with the file: the probe of the doctor."""
        faults = (await self.current()).faults
        return [_finding(self._source.name, faults)] if faults else []

    async def look(self) -> None:
        """Take over what was changed."""
        async with self._looking:
            if self._catalog is None:
                self._catalog = await self._remember()
            try:
                stamp = await self._source.stamp()
                if stamp != self._stamp or self._looked == 0.0:
                    edit = _read(await self._source.read())
                    self._show(await self._take(edit), edit)
                    self._stamp = stamp
                self._looked = time.monotonic()
            except UnavailableError as error:
                # Nobody is wrong; what was offered stays, and the next look tells more.
                self._stamp = None
                self._set(self._catalog.model_copy(update={"faults": [CatalogFault(message=error.detail)]}))

    async def _remember(self) -> Catalog:
        """Return what was offered before this process began."""
        async with self._unit.looking_up() as connection:
            kept = await find_kept(connection, self._source.name)
        return _catalog_of(kept)

    async def _take(self, edit: _Edit) -> Kept:
        """Write down what was read, and tell of it if nobody did so yet; return what is kept then."""
        async with self._unit.begin(Context.start("service:scheduler")) as work:
            before = await find_kept(work.connection, self._source.name)
            kept = _after(before, edit)
            if kept != before:
                await keep(work.connection, kept)
                work.send(_event(self._source.name, kept, edit))
                _READS.labels("broken" if kept.broken else "loaded").inc()
        return kept

    def _show(self, kept: Kept, edit: _Edit) -> None:
        catalog = _catalog_of(kept) if edit.books is None else _made(kept, edit.books)
        # A file that never was is no fault.
        self._set(catalog.model_copy(update={"faults": list(edit.faults) if kept.broken else []}))
        if kept.broken:
            log.warning("catalog.broken", source=self._source.name, faults=[_line_of(fault) for fault in edit.faults])
        else:
            log.info("catalog.loaded", source=self._source.name, applications=len(catalog.applications))

    def _set(self, catalog: Catalog) -> None:
        self._catalog = catalog
        _OFFERED.set(len(_names(catalog.applications)))
        _FAULTS.set(len(catalog.faults))


def _read(raw: bytes | None) -> _Edit:
    if raw is None:
        return _Edit(None, faults=(CatalogFault(message="the file is gone"),))
    sha256 = hashlib.sha256(raw).hexdigest()
    try:
        return _Edit(sha256, raw, read_catalog(raw))
    except BrokenCatalogError as error:
        return _Edit(sha256, faults=tuple(error.faults))


def _after(before: Kept, edit: _Edit) -> Kept:
    if edit.books is not None:
        if before.sha256 == edit.sha256:
            return replace(before, broken="")
        return Kept(before.source, edit.sha256 or "", edit.content, now())
    if edit.sha256 is None and not before.sha256:
        return before
    return replace(before, broken=edit.sha256 or _GONE)


def _catalog_of(kept: Kept) -> Catalog:
    """Return what a file that was good says; a release that reads more strictly may find fault with it."""
    try:
        return _made(kept, read_catalog(kept.content))
    except BrokenCatalogError as error:
        return Catalog(faults=error.faults)


def _made(kept: Kept, books: Books) -> Catalog:
    return Catalog(applications=books, sha256=kept.sha256, loaded_at=kept.loaded_at)


def _event(source: str, kept: Kept, edit: _Edit) -> CatalogLoaded | CatalogBroken:
    if edit.books is None:
        return CatalogBroken(source=source, sha256=edit.sha256, faults=list(edit.faults), at=now())
    return CatalogLoaded(source=source, sha256=kept.sha256, entrypoints=_names(edit.books), at=now())


def _names(books: Books) -> list[str]:
    return [
        f"{application}/{version}/{entrypoint}"
        for application, versions in books.items()
        for version, entrypoints in versions.items()
        for entrypoint in entrypoints
    ]


def _line_of(fault: CatalogFault) -> str:
    return f"line {fault.line}: {fault.field}: {fault.message}" if fault.line else fault.message


def _finding(source: str, faults: list[CatalogFault]) -> Finding:
    return Finding(
        code="catalog-broken",
        severity=Severity.WARNING,
        part="applications",
        what="the file of applications cannot be used as it is: what it said before is still offered",
        evidence=[_line_of(fault) for fault in faults[:10]],
        cause="its last edit is broken, or it cannot be reached",
        remedy=f"mend {source}; it is read again within seconds",
    )
