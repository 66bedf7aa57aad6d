"""Which remote files go where on this machine."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from contracts.errors import InternalError, NotFoundError
from contracts.files import DownloadUrl
from contracts.spec import clean_path
from shunter.client import Client

from .bars import Bars

__all__ = ["Fetch"]


class Fetch:
    """Fetches of one place: one's own files, another one's that are shared, or what a job left behind."""

    def __init__(self, client: Client, job_id: str | None, bars: Bars, *, owner: str | None = None) -> None:
        self._client = client
        self._job_id = job_id
        self._owner = owner
        self._bars = bars

    def one(self, path: str, target: Path) -> DownloadUrl:
        """Fetch one file."""
        progress = self._bars(target.name)
        if self._job_id:
            return self._client.download_output(self._job_id, path, target, progress=progress)
        if self._owner:
            return self._client.sharing.download(self._owner, path, target, progress=progress)
        return self._client.download(path, target, progress=progress)

    def plan(self, remote: str, local: Path | None, *, recursive: bool) -> list[tuple[str, Path]]:
        """Say which file goes where."""
        if not recursive:
            name = PurePosixPath(remote).name
            return [(remote, Path(name) if local is None else local / name if local.is_dir() else local)]
        folder = remote.strip("/")
        below = f"{folder}/" if folder else ""
        base = local or Path(PurePosixPath(folder).name or ".")
        paths = [path for path in self._paths(below) if path.startswith(below)]
        if not paths:
            raise NotFoundError(f"there is nothing below {remote!r}")
        return [(path, base / _below(path.removeprefix(below))) for path in paths]

    def _paths(self, below: str) -> list[str]:
        if self._job_id:
            return [file.path for file in self._client.list_outputs(self._job_id)]
        if self._owner:
            return [record.path for record in self._client.sharing.iter_files(self._owner, below)]
        return [record.path for record in self._client.iter_files(below)]


def _below(path: str) -> str:
    """Return a path that stays below our folder, whatever the server says."""
    try:
        return clean_path(path)
    except ValueError as error:
        raise InternalError(f"the server names {path!r}: {error}") from error
