"""What files were before: shown, brought back, and done away with for good."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from contracts.envelope import Context
from contracts.errors import InvalidError, NotFoundError
from contracts.file_commands import PurgeVersions, RestoreFile, RestoreVersion
from contracts.file_events import VersionsPurged
from contracts.file_queries import ListVersions
from contracts.model import now
from contracts.shelves import Gone, Purged, Restored, Version, VersionPage
from services.chassis.policy import owner_or_self
from services.chassis.unit import UnitOfWork, Work

from .kept import Kept, Since, find_kept, forget_kept, page_of_kept, purge_kept, restorable
from .keys import new_key, owner_folder, require_own_path
from .listing import cursor_of, start_of
from .rules import Quotas
from .store import find_file, put_file
from .stored import Reason
from .uploads import event_of

__all__ = ["VersionService"]

_BATCH = 200
"""Files brought back in one transaction; a folder may have held any number."""


class VersionService:
    """Shows owners what their files were before, and brings it back; *kept* says for how long."""

    def __init__(self, *, unit: UnitOfWork, quotas: Quotas, kept: Mapping[Reason, timedelta]) -> None:
        self._unit = unit
        self._quotas = quotas
        self._kept = kept

    async def page(self, query: ListVersions) -> VersionPage:
        """Return a page of versions, those that went last first."""
        owner = owner_or_self(query.principal, query.owner)
        below = _place_of(start_of(query.cursor))
        async with self._unit.reading() as connection:
            found = await page_of_kept(
                connection, owner, self._since(query.reasons), query.path, below=below, limit=query.limit + 1
            )
        items = found[: query.limit]
        more = _cursor_of(items[-1]) if len(found) > query.limit else None
        return VersionPage(items=[self._shown(one) for one in items], next_cursor=more)

    async def restore_version(self, command: RestoreVersion, *, cause: str, context: Context) -> Restored:
        """Let a file be as it was, under its own name or another one."""
        owner, upload = command.principal.subject, _upload_of(command.principal.subject, command.which)
        async with self._unit.handling(cause, context) as work:
            kept = await find_kept(work.connection, owner, self._since(Gone), upload) if work else None
            if work and kept is None:
                raise NotFoundError(f"there is no version {command.which}")
            if work and kept:
                to = command.to or kept.file.path
                if to != kept.file.path:
                    require_own_path(to)
                await self._quotas.require(work.connection, owner, to, kept.file.size, alone=True)
                await _bring_back(work, kept, to, cause)
                return Restored(path=to, restored=1)
        return Restored(path=command.to or "", restored=0)

    async def restore(self, command: RestoreFile, *, cause: str, context: Context) -> Restored:
        """Bring a deleted file back, or all of a folder as it was; what is there again stays."""
        restored = 0
        while len(found := await self._deleted(command)) > _BATCH:
            async with self._unit.begin(context) as work:
                restored += await self._bring_all(work, command, found[:_BATCH], cause)
        async with self._unit.handling(cause, context) as last:
            if last:
                restored += await self._bring_all(last, command, found, cause)
        path = f"{command.path}/" if command.folder else command.path
        if last and not restored:
            raise NotFoundError(f"nothing of {path} is in the trash whose name is free")
        return Restored(path=path, restored=restored)

    async def purge(self, command: PurgeVersions, *, cause: str, context: Context) -> Purged:
        """Keep versions for nobody any more; none of them is no fault."""
        owner = command.principal.subject
        upload = None if command.which is None else _upload_of(owner, command.which)
        since = self._since(Gone if upload else command.reasons)
        async with self._unit.handling(cause, context) as work:
            purged = await purge_kept(work.connection, owner, since, command.path, upload) if work else 0
            if work and upload and not purged:
                raise NotFoundError(f"there is no version {command.which}")
            if work and purged:
                work.send(
                    VersionsPurged(
                        owner=owner,
                        path=command.path,
                        reasons=list(Gone) if upload else command.reasons,
                        upload=upload,
                        versions=purged,
                        at=now(),
                    )
                )
        return Purged(purged=purged)

    async def _deleted(self, command: RestoreFile) -> list[Kept]:
        async with self._unit.reading() as connection:
            return await restorable(
                connection,
                command.principal.subject,
                self._since([Gone.DELETED, Gone.EXPIRED]),
                command.path,
                folder=command.folder,
                limit=_BATCH + 1,
            )

    async def _bring_all(self, work: Work, command: RestoreFile, found: Sequence[Kept], cause: str) -> int:
        """Bring files back; those that somebody brought back meanwhile are passed over."""
        owner, count, since = command.principal.subject, 0, self._since([Gone.DELETED, Gone.EXPIRED])
        place, size = f"{command.path}/" if command.folder else command.path, sum(one.file.size for one in found)
        await self._quotas.require(work.connection, owner, place, size, alone=True)
        for one in found:
            kept = await find_kept(work.connection, owner, since, one.file.upload)
            if kept and await find_file(work.connection, owner, kept.file.path) is None:
                await _bring_back(work, kept, kept.file.path, cause)
                count += 1
        return count

    def _since(self, reasons: Iterable[Gone]) -> Since:
        at = now()
        return {Reason(reason.value): at - self._kept[Reason(reason.value)] for reason in reasons}

    def _shown(self, kept: Kept) -> Version:
        file = kept.file
        return Version(
            id=file.upload.rsplit("/", 1)[-1],
            path=file.path,
            owner=file.owner,
            size=file.size,
            sha256=file.sha256,
            content_type=file.content_type,
            created_at=file.created_at,
            gone_at=kept.gone_at,
            reason=Gone(kept.reason.value),
            kept_until=kept.gone_at + self._kept[kept.reason],
        )


async def _bring_back(work: Work, kept: Kept, to: str, cause: str) -> None:
    """Let a path name the bytes of a version; a deleted one is in the trash no more."""
    old = kept.file
    file = replace(old, path=to, upload=new_key(old.owner), created_at=now())
    await put_file(work.connection, file, cause)
    if kept.reason is not Reason.OVERWRITTEN:
        await forget_kept(work.connection, [old.upload])
    work.send(event_of(file, old.upload))


def _upload_of(owner: str, version: str) -> str:
    return f"{owner_folder(owner)}/{version}"


def _cursor_of(kept: Kept) -> str:
    return cursor_of(f"{kept.gone_at.isoformat()} {kept.file.upload}")


def _place_of(text: str) -> tuple[datetime, str] | None:
    if not text:
        return None
    at, _, upload = text.partition(" ")
    try:
        return datetime.fromisoformat(at), upload
    except ValueError:
        raise InvalidError.of("cursor", "is not one that a listing gave") from None
