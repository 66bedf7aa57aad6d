"""The file of a backup: whole or not at all, verified when it is read, and never a way out of the folder."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from contracts.subjects import task_subject
from deploy.local.archive import MANIFEST, extract, open_archive
from deploy.local.restore import restore_backup
from deploy.local.servers import StartError
from deploy.local.streams import Address, connect, drop_tasks, put_back, take
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
