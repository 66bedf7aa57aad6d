"""Which files of a working folder go home."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .folder import RunFolder

__all__ = ["Delivery", "clean_path", "find_logs", "find_outputs"]


class _Wanted(Protocol):
    @property
    def path(self) -> str: ...
    @property
    def required(self) -> bool: ...
    @property
    def to(self) -> str | None: ...


@dataclass(frozen=True)
class Delivery:
    """A file to take home."""

    source: Path
    path: str
    """Below the job's folder."""
    to: str | None = None
    """The folder of the owner's that takes the place of `outputs`."""

    @property
    def at(self) -> str | None:
        """Return where it comes to lie in the owner's files, if that is not in the job's folder."""
        return None if self.to is None else f"{self.to}/{self.path.partition('/')[2]}"


def clean_path(value: str) -> str:
    """Return *value* as a relative path that stays in its folder; raises `ValueError`."""
    parts = [part for part in value.split("/") if part not in {"", "."}]
    if value.startswith("/") or "\\" in value or "\0" in value or ".." in parts or not parts:
        raise ValueError(f"{value!r} is no path within a folder")
    return "/".join(parts)


def find_outputs(outputs: Sequence[_Wanted], work: Path) -> tuple[list[Delivery], list[str]]:
    """Return what to take home, and what is required but not there."""
    home = work.resolve()
    found: dict[str, Delivery] = {}
    missing: list[str] = []
    for output in outputs:
        files = [path for path in _matches(work, output.path) if _lies_in(path, home)]
        for path in files:
            name = f"outputs/{path.relative_to(work)}"
            found[name] = Delivery(path, name, output.to)
        if output.required and not files:
            missing.append(output.path)
    return list(found.values()), missing


def _lies_in(path: Path, home: Path) -> bool:
    """Say whether a file, wherever its links lead, is one of the folder."""
    try:
        return path.resolve().is_relative_to(home)
    except (OSError, RuntimeError):  # links that lead to each other
        return False


def _matches(work: Path, pattern: str) -> Iterator[Path]:
    # A name that holds glob characters is a name first.
    exact = work / clean_path(pattern)
    for path in [exact] if exact.exists() else sorted(work.glob(pattern)):
        if path.is_dir() and not path.is_symlink():
            yield from (below for below in sorted(path.rglob("*")) if below.is_file())
        elif path.is_file():
            yield path


def find_logs(folder: RunFolder, attempt: int) -> list[Delivery]:
    """Return the logs that hold something."""
    return [
        Delivery(path, f"logs/{attempt}/{path.name}")
        for path in (folder.stdout, folder.stderr)
        if path.exists() and path.stat().st_size
    ]
