"""A whole site whose files lie in a folder: the same API, the same jobs, no S3."""

from __future__ import annotations

import io
import os
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.jobs import logs, submit, until_ended
from tests.support.stack import Stack, run_stack, shunter


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SHUNTER_STORAGE__OBJECTS__KIND", "folder")
        with run_stack(tmp_path_factory.mktemp("stack")) as running:
            yield running


def test_files_jobs_zips_and_forms_work_from_a_folder(site: Stack, tmp_path: Path) -> None:
    owner = site.client("owner")
    content = os.urandom(400_000)
    owner.put("/v1/files/data/d1/a.bin", content=content).raise_for_status()
    form = owner.post("/v1/uploads/form", json={"folder": "data/d1"}).raise_for_status().json()
    assert form["url"].startswith("http://127.0.0.1:")
    files = {"file": ("b.txt", b"from a browser")}
    httpx.post(form["url"], data=form["fields"], files=files, trust_env=False).raise_for_status()
    job = submit(
        owner,
        script="cat b.txt && cat a.bin b.txt > both.bin",
        inputs=[{"source": f"data/d1/{name}"} for name in ("a.bin", "b.txt")],
        outputs=[{"path": "both.bin"}],
    )
    ended = until_ended(owner, job)
    assert (ended["state"], ended["exit_code"]) == ("succeeded", 0), ended
    assert logs(owner, job) == b"from a browser"
    part = owner.get(f"/v1/files/jobs/{job}/outputs/both.bin", headers={"Range": "bytes=399990-400003"})
    assert (part.status_code, part.content) == (206, content[-10:] + b"from")
    archive = zipfile.ZipFile(io.BytesIO(owner.get("/v1/zip/data/d1").raise_for_status().content))
    assert {name: archive.read(name) for name in archive.namelist()} == {"a.bin": content, "b.txt": b"from a browser"}
    objects = [file for file in (site.data / "objects").rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in objects) >= 2 * len(content)


def test_the_command_line_brings_and_fetches(site: Stack, tmp_path: Path) -> None:
    (tmp_path / "big.bin").write_bytes(os.urandom(3_000_000))

    def run(*words: str) -> str:
        command = [shunter(), "files", *words]
        done = subprocess.run(command, env=site.environment(), capture_output=True, text=True, check=True, cwd=tmp_path)
        return done.stdout

    run("put", "big.bin", "cli/")
    run("get", "cli/big.bin", "back.bin")
    assert (tmp_path / "back.bin").read_bytes() == (tmp_path / "big.bin").read_bytes()
    run("zip", "cli")
    assert zipfile.ZipFile(tmp_path / "cli.zip").namelist() == ["big.bin"]
    run("form", "cli", "--html", "up.html")
    assert 'enctype="multipart/form-data"' in (tmp_path / "up.html").read_text()


def test_a_backup_has_the_objects_of_the_folder(site: Stack, tmp_path: Path) -> None:
    content = os.urandom(100_000)
    site.client("owner").put("/v1/files/kept/a.bin", content=content).raise_for_status()
    for words in (("backup", "lab.tar", "--data", str(site.data)), ("restore", "lab.tar", "--data", "copy")):
        subprocess.run([shunter(), *words, "--json"], check=True, cwd=tmp_path, timeout=120, capture_output=True)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SHUNTER_STORAGE__OBJECTS__KIND", "folder")
        with run_stack(tmp_path / "copy") as copy:
            found = copy.client("owner").get("/v1/files/kept/a.bin", follow_redirects=True)
    assert found.content == content
