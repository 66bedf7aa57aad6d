"""The file of a backup: whole or not at all, verified when it is read, and never a way out of the folder."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from sqlalchemy import create_engine, insert

from contracts.arrays import ArraySpec
from contracts.model import now
from contracts.spec import JobSpec
from contracts.subjects import task_subject
from contracts.workloads import Kind
from deploy.local.archive import MANIFEST, extract, open_archive
from deploy.local.restore import queued_attempts, restore_backup
from deploy.local.servers import StartError
from deploy.local.streams import Address, connect, drop_tasks, put_back, take
from services.scheduler.entrance import new_row
from services.scheduler.tables import METADATA, bundles, tasks, workloads
from tests.support.chassis import cancel, left, open_bus, send
from tests.support.servers import run_nats

JOB = "job-" + "0" * 31


def _archive(folder: Path, name: str = "x.tar.gz") -> Path:
    (folder / "a").write_bytes(b"hello" * 1000)
    with open_archive(folder / name) as archive:
        archive.add("db/a", folder / "a")
        archive.finish({"format": 1})
    return folder / name


def _tar(path: Path, *members: tuple[str, bytes, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data, kind in members:
            info = tarfile.TarInfo(name)
            info.size, info.type, info.linkname = len(data), kind, "/etc/passwd"
            tar.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz"])
def test_what_was_written_is_read_again_and_only_its_owner_may(tmp_path: Path, name: str) -> None:
    path = _archive(tmp_path, name)
    assert path.stat().st_mode & 0o077 == 0
    manifest = extract(path, tmp_path / "new")
    assert (tmp_path / "new" / "db" / "a").read_bytes() == b"hello" * 1000
    assert list(manifest["members"]) == ["db/a"]
    with pytest.raises(StartError, match="exists already"), open_archive(path):
        pass


def test_a_backup_that_breaks_off_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), open_archive(tmp_path / "x.tar") as archive:
        archive.add("db/a", tmp_path / "nowhere")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *(("../x", tarfile.REGTYPE), ("/etc/x", tarfile.REGTYPE), ("a/../../x", tarfile.REGTYPE)),
        *(("a", tarfile.SYMTYPE), ("a", tarfile.LNKTYPE), ("a", tarfile.FIFOTYPE), ("a\\..\\b", tarfile.REGTYPE)),
    ],
)
def test_no_member_leads_out_of_the_folder(tmp_path: Path, name: str, kind: bytes) -> None:
    path = _tar(tmp_path / "bad.tar", (name, b"" if kind != tarfile.REGTYPE else b"x", kind))
    with pytest.raises(StartError, match="is no whole backup"):
        extract(path, tmp_path / "deep" / "new")
    assert not (tmp_path / "deep" / "new").exists()
    assert not (tmp_path / "x").exists()


def test_a_changed_or_cut_file_is_refused(tmp_path: Path) -> None:
    whole = _archive(tmp_path, "x.tar").read_bytes()
    (tmp_path / "changed.tar").write_bytes(whole.replace(b"hello", b"hullo", 1))
    (tmp_path / "cut.tar").write_bytes(whole[:4096])
    with pytest.raises(StartError, match="checksums differ"):
        extract(tmp_path / "changed.tar", tmp_path / "new")
    with pytest.raises(StartError, match="no whole backup"):
        extract(tmp_path / "cut.tar", tmp_path / "new")
    _tar(tmp_path / "two.tar", (MANIFEST, b'{"members": {}}', tarfile.REGTYPE), ("late", b"x", tarfile.REGTYPE))
    with pytest.raises(StartError, match="follows the manifest"):
        extract(tmp_path / "two.tar", tmp_path / "new")


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path: Path) -> None:
    path = _archive(tmp_path)
    with pytest.raises(StartError, match="is not empty"):
        restore_backup(path, tmp_path)
    assert (tmp_path / "a").exists()


async def test_streams_come_back_with_their_messages_and_without_stale_tasks(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    async with run_nats(tmp_path / "one") as nats, open_bus(nats, "gateway") as bus:
        for _ in range(3):
            await send(bus, cancel())
        for number in (1, 2):
            await bus.publish(task_subject("local", f"{JOB}{number}", 1), b"{}", f"task-{number}")
        client = await connect(Address(nats.url))
        snapshots = await take(client, tmp_path)
        await client.close()
    async with run_nats(tmp_path / "two") as nats:
        client = await connect(Address(nats.url))
        for snapshot in snapshots:
            await put_back(client, snapshot)
        assert await drop_tasks(client, {(f"{JOB}2", 1)}) == 1
        await client.close()
        async with open_bus(nats, "gateway") as bus:
            assert (await left(bus), await left(bus, "TASKS")) == (3, 1)


def _bundle(number: int, **values: object) -> dict[str, object]:
    row = {"workload_id": f"{JOB}2", "bundle": number, "backend": "local", "indices": str(number), "share": None}
    return {**row, "sent": True, "ended": False, "seen_at": now(), "allocation": None, **values}


def _task(index: int, state: str) -> dict[str, object]:
    row = {"workload_id": f"{JOB}2", "index": index, "bundle": index, "state": state, "attempt": 1, "blameless": 0}
    return {**row, "canceling": False, "message": ""}


@pytest.mark.own_stores("a backup is of SQLite")
def test_only_what_has_not_begun_stays_in_the_task_queue(tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()
    engine = create_engine(f"sqlite:///{tmp_path}/db/scheduler.db")
    METADATA.create_all(engine)
    array = JobSpec(argv=["true"], array=ArraySpec(count=9))
    rows = [
        new_row(f"{JOB}{number}", "ada", spec, [], Kind.JOB, "", None) | {"state": state}
        for number, (spec, state) in enumerate([(JobSpec(argv=["true"]), "queued"), (array, "running")], start=1)
    ]
    with engine.begin() as connection:
        connection.execute(insert(workloads), rows)
        connection.execute(insert(bundles), [_bundle(1), _bundle(2), _bundle(3, ended=True), _bundle(4, sent=False)])
        connection.execute(insert(bundles), [_bundle(5, allocation={"backend": "local", "node": "n", "cpus": 1})])
        connection.execute(insert(tasks), [_task(1, "running"), *(_task(number, "queued") for number in range(2, 6))])
    engine.dispose()
    assert queued_attempts(tmp_path) == {(f"{JOB}1", 1), (f"{JOB}2", 2)}
