"""The folder of one run."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

__all__ = ["FAILURE", "RunFolder"]

FAILURE = "#"
"""Begins what is written below the exit code of a program that could not be started."""


class RunFolder:
    """Everything about one attempt, or one task of a bundle."""

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self.name = name
        self.work = path / "work"
        self.temporary = path / "tmp"
        self.script = path / "script"
        self.stdout = path / "stdout"
        self.stderr = path / "stderr"
        self.exit = path / "exit"
        self.shell = path / "shell"

    def create(self) -> None:
        """Make it."""
        for folder in (self.path, self.work, self.temporary):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def write_script(self, script: str) -> list[str]:
        """Keep a script, beside the working folder, and return how it is started."""
        self.script.write_text(script)
        self.script.chmod(0o700)
        return [str(self.script)] if script.startswith("#!") else ["/bin/sh", str(self.script)]

    def write_failure(self, code: int, message: str) -> None:
        """Note that the program could not be started, where its output and its exit code would be."""
        with self.stderr.open("a") as file:
            file.write(f"shunter: {message}\n")
        self.exit.write_text(f"{code}\n{FAILURE} {message}\n")

    def remove(self) -> None:
        """Remove everything; a user may have left folders that forbid it."""
        shutil.rmtree(self.path, onerror=_unlock)


def _unlock(remove: Any, path: str, _error: object) -> None:
    with suppress(OSError):
        os.chmod(os.path.dirname(path), 0o700)  # noqa: PTH101, PTH120
        if os.path.isdir(path):  # noqa: PTH112
            os.chmod(path, 0o700)  # noqa: PTH101
            shutil.rmtree(path, ignore_errors=True)
        else:
            remove(path)
