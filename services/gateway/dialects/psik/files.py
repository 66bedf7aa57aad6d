"""The working folder of a psik job: what was uploaded for its next run over what its last run left behind."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath

from contracts.errors import ForbiddenError, NotFoundError
from contracts.files import DownloadUrl, FileRecord
from contracts.glances import Glance
from contracts.spec import Input, clean_path
from contracts.states import Reason, WorkloadState
from contracts.workloads import Workload
from services.gateway.factory import Factory

from .models import FileStat
from .names import upload_folder, uploads_of

__all__ = ["Entry", "WorkFiles", "clean_name", "put_file"]

_RAN = frozenset({WorkloadState.SUCCEEDED, WorkloadState.FAILED})

_OUTPUTS = "outputs/"

_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of the working folder."""

    size: int
    at: datetime
    source: str
    """Where it lies in its owner's files."""
    run: Workload | None = None
    """The run that left it behind, if one did."""


def clean_name(name: str) -> str:
    """Return the path of a file in the working folder; raises `ForbiddenError` for one that leads out of it."""
    try:
        return clean_path(name)
    except ValueError:
        raise ForbiddenError("invalid path") from None


class WorkFiles:
    """The working folder of one job as its next run would find it."""

    def __init__(self, services: Factory, owner: str, entries: Mapping[str, Entry]) -> None:
        self._services = services
        self._owner = owner
        self._entries = entries

    @classmethod
    async def of(cls, services: Factory, jobid: str, runs: Sequence[Glance]) -> WorkFiles:
        """Look what there is."""
        owner = runs[0].owner
        uploads = await _uploads(services, jobid, owner)
        left, entries = await _left_behind(services, runs)
        for number in range(left + 1, len(runs) + 2):
            entries |= uploads.get(number, {})
        return cls(services, owner, entries)

    def inputs(self) -> list[Input]:
        """Return what the next run begins with."""
        return [Input(source=entry.source, path=path) for path, entry in sorted(self._entries.items())]

    def listing(self, folder: str = "") -> dict[str, FileStat] | None:
        """Return what lies in a folder; None if there is no such folder."""
        start = f"{folder}/" if folder else ""
        found: dict[str, FileStat] = {}
        for path, entry in sorted(self._entries.items()):
            if not path.startswith(start):
                continue
            name, slash, _ = path[len(start) :].partition("/")
            at = int(entry.at.timestamp())
            known = found.get(name)
            size = 0 if slash else entry.size
            at = max(at, known.mtime) if known else at
            found[name] = FileStat(size=size, atime=at, mtime=at, children=bool(slash))
        return found if found or not folder else None

    async def url(self, path: str) -> DownloadUrl:
        """Return where a file can be fetched; raises `NotFoundError`."""
        entry = self._entries.get(path)
        if entry is None:
            raise NotFoundError(f"file {path} not found")
        if entry.run is not None:
            return await self._services.archive().url(entry.run, _OUTPUTS + path)
        return await self._services.files().url(entry.source, _other(self._services, self._owner))

    def require_place(self, path: str) -> None:
        """Refuse a file where there is a folder, and a folder where there is a file."""
        above = {str(parent) for parent in PurePosixPath(path).parents}
        if any(other in above or other.startswith(f"{path}/") for other in self._entries):
            raise NotFoundError(f"Invalid path: {path}")


async def put_file(
    services: Factory, jobid: str, run: int, path: str, chunks: AsyncIterator[bytes], size: int | None
) -> None:
    """Keep a file for a run."""
    await services.streams().put_stream(upload_folder(jobid, run) + path, chunks, size=size)


def _other(services: Factory, owner: str) -> str | None:
    return None if owner == services.caller.principal.subject else owner


async def _uploads(services: Factory, jobid: str, owner: str) -> dict[int, dict[str, Entry]]:
    """Return what was uploaded, by the run that it was for; nothing where it is not for the caller's eyes."""
    folder, cursor = uploads_of(jobid), None
    found: dict[int, dict[str, Entry]] = {}
    while True:
        try:
            page = await services.files().page(
                prefix=folder, recursive=True, limit=_PAGE, cursor=cursor, owner=_other(services, owner)
            )
        except NotFoundError:
            return {}
        for record in page.items:
            _sort_in(found, record, folder)
        cursor = page.next_cursor
        if cursor is None:
            return found


def _sort_in(found: dict[int, dict[str, Entry]], record: FileRecord, folder: str) -> None:
    run, _, path = record.path.removeprefix(folder).partition("/")
    if run.isdecimal() and path:
        found.setdefault(int(run), {})[path] = Entry(record.size, record.created_at, record.path)


async def _left_behind(services: Factory, runs: Sequence[Glance]) -> tuple[int, dict[str, Entry]]:
    """Return the last run that left its folder behind, 0 for none, and what was in it."""
    for number in range(len(runs), 0, -1):
        run = runs[number - 1]
        if run.state not in _RAN or run.started_at is None:
            continue
        workload = await services.jobs().get(run.id)
        if workload.outputs or workload.reason is Reason.EXITED:
            at = workload.finished_at or workload.updated_at
            return number, {
                item.path.removeprefix(_OUTPUTS): Entry(item.size, at, f"jobs/{workload.id}/{item.path}", run=workload)
                for item in workload.outputs
            }
    return 0, {}
