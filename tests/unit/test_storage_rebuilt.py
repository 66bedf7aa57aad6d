"""Whatever is done to names: the events alone tell who has what, usage is exact, and nothing is lost or left over."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import func, select

from contracts.envelope import Envelope, type_of
from contracts.errors import ConflictError, InvalidError, NotFoundError, OverQuotaError
from contracts.events import FileDeleted, FileStored
from contracts.file_events import FileMoved, FolderMade, FolderMoved, FolderRemoved, FolderRuled, VersionsPurged
from services.chassis.database import make_engine
from services.storage.folder.disk import Disk
from services.storage.folder.doors import Doors
from services.storage.folder.objects import FolderObjects
from services.storage.stored import StoredFile
from services.storage.tables import FILES, FOLDERS, METADATA, RULES, SUPERSEDED, USAGE
from tests.support.shelves import Shelves, open_shelves

_NAMES = ("a", "b", "a/b", "a/c", "b/a", "b/a/c", "a/b/c", "d")
_STEPS = 150


@pytest.fixture
async def ada(tmp_path: Path) -> AsyncIterator[Shelves]:
    engine = make_engine(f"sqlite+aiosqlite:///{tmp_path / 'storage.db'}")
    async with engine.begin() as connection:
        await connection.run_sync(METADATA.create_all)
    objects = FolderObjects(Disk(tmp_path / "objects", 0), Doors(SecretStr("k" * 40), "http://x"), calls=1, readers=1)
    async with open_shelves(engine, objects) as found:
        yield found
    objects.close()


@dataclass(slots=True)
class _Told:
    """What somebody knows who only listens."""

    files: dict[str, tuple[str, str, int]] = field(default_factory=dict)
    kept: dict[str, tuple[str, str]] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    rules: dict[str, int | None] = field(default_factory=dict)

    def hear(self, envelope: Envelope) -> None:
        kinds = (
            FileStored,
            FileDeleted,
            FileMoved,
            FolderMade,
            FolderMoved,
            FolderRemoved,
            FolderRuled,
            VersionsPurged,
        )
        kind = next(kind for kind in kinds if type_of(kind) == envelope.type)
        event = envelope.unwrap(kind)
        getattr(self, f"_{kind.name.replace('.', '_')}")(event)

    def _file_stored(self, event: FileStored) -> None:
        if (old := self.files.get(event.path)) is not None:
            self.kept[old[1]] = (event.path, "overwritten")
        if self.kept.get(event.restored_from, ("", "overwritten"))[1] != "overwritten":
            del self.kept[event.restored_from]
        self.files[event.path] = (event.key, event.upload, event.size)

    def _file_deleted(self, event: FileDeleted) -> None:
        del self.files[event.path]
        self.kept[event.upload] = (event.path, event.reason)

    def _file_moved(self, event: FileMoved) -> None:
        assert event.to not in self.files
        self.files[event.to] = self.files.pop(event.path)

    def _folder_made(self, event: FolderMade) -> None:
        self.folders.add(f"{event.path}/")

    def _folder_removed(self, event: FolderRemoved) -> None:
        self.folders.remove(f"{event.path}/")

    def _folder_moved(self, event: FolderMoved) -> None:
        old, new = f"{event.path}/", f"{event.to}/"
        self.files = {_renamed(path, old, new): file for path, file in self.files.items()}
        self.folders = {_renamed(path, old, new) for path in self.folders}

    def _folder_ruled(self, event: FolderRuled) -> None:
        self.rules[f"{event.rule.path}/"] = event.rule.quota

    def _version_purged(self, event: VersionsPurged) -> None:
        for upload, (path, reason) in self.kept.items():
            inside = event.path is None or path == event.path or path.startswith(f"{event.path}/")
            if inside and reason in event.reasons:
                self.kept[upload] = (path, "purged")


def _renamed(path: str, old: str, new: str) -> str:
    return new + path.removeprefix(old) if path.startswith(old) else path


async def _step(ada: Shelves, draw: random.Random) -> None:
    one, other = draw.choice(_NAMES), draw.choice(_NAMES)
    folder, replace = draw.random() < 0.5, draw.random() < 0.5
    steps: list[Callable[[], Awaitable[StoredFile | None]]] = [
        lambda: ada.put(one, other.encode() * draw.randint(1, 5)),
        lambda: ada.make(one),
        lambda: ada.move(one, other, folder=folder, replace=replace),
        lambda: ada.delete(one, forever=replace and folder),
        lambda: ada.restore(one, folder=folder),
        lambda: ada.purge(one),
        lambda: ada.bound(one, draw.randint(1, 50)),
    ]
    (step,) = draw.choices(steps, weights=(8, 3, 8, 2, 4, 1, 1))
    with suppress(ConflictError, InvalidError, NotFoundError, OverQuotaError):
        await step()


@pytest.mark.parametrize("seed", range(6))
async def test_the_events_tell_what_the_tables_hold(ada: Shelves, seed: int) -> None:
    draw, told = random.Random(seed), _Told()
    for _ in range(_STEPS):
        await _step(ada, draw)
    for envelope in ada.said:
        told.hear(envelope)
    async with ada.unit.reading() as connection:
        files = (await connection.execute(select(FILES))).all()
        assert {row.path: (row.key, row.upload, row.size) for row in files} == told.files
        kept = (await connection.execute(select(SUPERSEDED))).all()
        assert {row.upload: (row.path, row.reason) for row in kept} == told.kept
        assert set((await connection.execute(select(FOLDERS.c.path))).scalars()) == told.folders
        assert {row.path: row.quota for row in await connection.execute(select(RULES))} == told.rules
        usage = (await connection.execute(select(USAGE.c.files, USAGE.c.size))).one()
        counted = (await connection.execute(select(func.count(), func.sum(FILES.c.size)).select_from(FILES))).one()
        assert (usage.files, usage.size or None) == tuple(counted)
    assert len(ada.said) > _STEPS // 4


async def test_of_many_who_take_the_same_name_one_gets_it(ada: Shelves) -> None:
    for number in range(20):
        await ada.put(f"from/{number}", b"x")
    moves = [ada.move(f"from/{number}", "to", folder=False) for number in range(20)]
    ended = await asyncio.gather(*moves, return_exceptions=True)
    assert sum(one is None for one in ended) == 1
    assert all(one is None or isinstance(one, ConflictError) for one in ended)
