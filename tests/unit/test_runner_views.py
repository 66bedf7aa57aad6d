"""Programs find their working folder at `/files`: by a mount of their own, or because the word was replaced."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from services.scheduler.pilot.process import SpawnError
from services.scheduler.pilot.views import View, replaced
from services.scheduler.runner.journal import RunFolder
from services.scheduler.runner.views import Views


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    found = RunFolder(tmp_path / "run")
    for path in (found.path, found.work, found.temporary):
        path.mkdir()
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/files", "/w"),
        ("--model=/files/model", "--model=/w/model"),
        ("$(find /files/data -name '*.mat')", "$(find /w/data -name '*.mat')"),
        ("a:/files:/files/b,'/files'", "a:/w:/w/b,'/w'"),
        (">/files/log", ">/w/log"),
        ("cd /files. Then", "cd /w. Then"),
        *[(text, text) for text in ("/data/files/x", "./files", "/filesystem", "/files-old", "/files.txt", "~/files")],
    ],
)
def test_only_the_path_itself_is_replaced(text: str, expected: str) -> None:
    assert replaced(text, "/files", "/w") == expected


async def test_a_program_that_takes_its_folder_as_it_is_needs_no_view(folder: RunFolder) -> None:
    assert await Views("auto").of(None, folder) is None


async def test_words_are_replaced_where_no_mount_is_wanted(folder: RunFolder) -> None:
    view = await Views("replace").of("/files", folder)
    assert view
    env = {"PATH": "/usr/bin:/bin", "A": "/files/a", "B": "/files/b"}
    argv, shown = view.words(["echo", "/files/x"], None, env, own=["A"])
    assert argv[1:] == [f"{folder.work}/x"]
    assert (shown["A"], shown["B"]) == (f"{folder.work}/a", "/files/b")  # B is the node's
    assert shown["SHUNTER_FILES"] == str(folder.work)
    assert "replaced" in view.message


def test_a_script_is_refused_a_folder_that_a_shell_would_not_take_for_one_word(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "two words")
    folder.path.mkdir()
    view = View("/files", folder, mounts=False)
    with pytest.raises(SpawnError, match="blanks"):
        view.words(None, "ls /files", {"PATH": ""}, own=())
    view.words(None, "ls elsewhere", {"PATH": ""}, own=())


async def test_a_mount_shows_the_folder_to_the_program_alone(folder: RunFolder) -> None:
    view = await Views("auto").of("/files", folder)
    assert view
    if not view.mounts:
        pytest.skip("this host lets nobody mount: words are replaced here, as the test above has it")
    (folder.work / "in").write_text("hello")
    script = 'cat /files/in; pwd; echo made >/files/out; id -u; test -e "$HERE"; exit 3'
    argv, env = view.words(None, script, {"PATH": "/usr/bin:/bin", "HERE": str(Path(__file__))}, own=["HERE"])
    ended = await asyncio.to_thread(subprocess.run, argv, env=env, capture_output=True, text=True)
    assert (ended.stdout, ended.returncode) == (f"hello/files\n{os.geteuid()}\n", 3), ended.stderr
    assert (folder.work / "out").read_text() == "made\n"
    assert env["SHUNTER_FILES"] == "/files"
    assert list((folder.path / "root").iterdir()) == []  # nothing of it is seen from outside
