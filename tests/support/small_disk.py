"""A disk of a few megabytes, which a test can fill."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = ["fill", "small_disk"]


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """Mount one at *folder*; skips where that is not allowed."""
    folder.mkdir(parents=True)
    if shutil.which("mount") is None:
        pytest.skip("there is no mount here")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.decode(errors='replace').strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False)


def fill(folder: Path) -> Path:
    """Take all the room that a disk has; returns the file that is to go."""
    ballast = folder / "ballast"
    with ballast.open("wb") as sink:
        os.posix_fallocate(sink.fileno(), 0, shutil.disk_usage(folder).free)
    return ballast
