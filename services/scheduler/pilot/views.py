"""Shows a program its working folder under the path that it was written for, such as `/files`."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .folder import RunFolder
from .process import SpawnError, find_program

__all__ = ["PATIENCE", "View", "Views", "replaced"]

_MOUNT = """
set -e
root=$1 work=$2 place=$3 uid=$4 gid=$5 unshare=$6
shift 6
wanted=$PATH
PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t tmpfs -o mode=755 shunter "$root"
for item in /* /.[!.]*; do
  if [ -L "$item" ]; then cp -P "$item" "$root$item"
  elif [ "$item" = "$place" ]; then continue
  elif [ -d "$item" ]; then mkdir "$root$item"; mount --rbind "$item" "$root$item"
  elif [ -e "$item" ]; then : >"$root$item"; mount --bind "$item" "$root$item"
  fi
done
mkdir -p "$root$place" "$root/.shunter"
mount --bind "$work" "$root$place"
cd "$root"
pivot_root . .shunter
umount -l /.shunter
rmdir /.shunter
cd "$place"
PATH=$wanted
[ "$uid" = 0 ] || exec "$unshare" --user --map-user="$uid" --map-group="$gid" -- "$@"
exec "$@"
"""
"""Makes a root of its own that holds everything of the old one, and the working folder at its place. Only processes
started from here see it, and it is gone with the last of them. Whoever is not root becomes root of a new user namespace
for the moment that this takes, and themselves again after it."""

_SHELL = "/bin/sh"
PATIENCE = 10.0
"""Seconds that the trial may take; a node where it takes longer is one where it does not work."""

_SAFE = re.compile(r"[\w./+,@%-]+", re.ASCII)


def replaced(text: str, place: str, folder: str) -> str:
    """Return *text* with *folder* wherever the path *place*, or one below it, stands."""
    return re.sub(rf"(?<![\w./~-]){re.escape(place)}(?![\w-]|\.\w)", lambda _: folder, text)


@dataclass(frozen=True)
class View:
    """How one program is shown its working folder."""

    place: str
    """The path that it expects."""
    folder: RunFolder
    mounts: bool
    """Whether it finds its folder at that path; else the words of its command are changed."""
    prefix: tuple[str, ...] = ()
    """Goes before the program."""

    @property
    def message(self) -> str:
        """Say which way it is."""
        if self.mounts:
            return f"{self.place} is the working folder"
        return f"{self.place} in its command and variables was replaced by the working folder"

    def words(
        self, argv: Sequence[str] | None, script: str | None, env: Mapping[str, str], *, own: Iterable[str]
    ) -> tuple[list[str], dict[str, str]]:
        """Return what is started, and its environment, of which the job itself gave those named *own*.

        Raises `SpawnError` if there is no such program.
        """
        seen = self.place if self.mounts else str(self.folder.work)
        shown = {**env, **{name: self._text(env[name]) for name in own}, "SHUNTER_FILES": seen}
        if script is not None:
            return [*self.prefix, *self.folder.write_script(self._script(script))], shown
        program, *rest = argv or [""]
        # The folder is under its own name as well, where we can see whether the program is there.
        program = replaced(program, self.place, str(self.folder.work))
        found = find_program([program, *map(self._text, rest)], shown["PATH"], self.folder.work)
        return [*self.prefix, *found], shown

    def _text(self, text: str) -> str:
        return text if self.mounts else replaced(text, self.place, str(self.folder.work))

    def _script(self, script: str) -> str:
        changed = self._text(script)
        if changed != script and not _SAFE.fullmatch(str(self.folder.work)):
            raise SpawnError(126, f"{self.place} cannot be replaced by a folder with blanks or quotes in its name")
        return changed


class Views:
    """Knows what this node allows."""

    def __init__(self, showing: str, mounted: str = "") -> None:
        """*mounted*: where the engine has put an empty folder for the one program that runs here."""
        self._showing = showing
        self._mounted = mounted
        self._trial: asyncio.Task[bool] | None = None

    async def of(self, place: str | None, folder: RunFolder) -> View | None:
        """Return how the program of a run is shown its folder; none if it takes it as it is."""
        if place is None:
            return None
        if place == self._mounted and os.access(place, os.W_OK):
            return View(place, folder, mounts=True)
        if self._showing == "replace" or not await self._can_mount(folder):
            return View(place, folder, mounts=False)
        root = folder.path / "root"
        root.mkdir(mode=0o700, exist_ok=True)
        return View(place, folder, mounts=True, prefix=tuple(_prefix(root, folder.work, place)))

    async def _can_mount(self, folder: RunFolder) -> bool:
        if self._showing == "mount":
            return True
        if self._trial is None or self._trial.cancelled():
            self._trial = asyncio.get_running_loop().create_task(self._works(_trial(folder.path / "trial")))
        return await asyncio.shield(self._trial)

    async def _works(self, words: list[str]) -> bool:
        """Say whether a command succeeds."""
        nothing = asyncio.subprocess.DEVNULL
        try:
            process = await asyncio.create_subprocess_exec(*words, stdin=nothing, stdout=nothing, stderr=nothing)
        except OSError:
            return False
        try:
            return await asyncio.wait_for(process.wait(), PATIENCE) == 0
        except asyncio.TimeoutError:
            process.kill()
            await process.wait()
            return False


def _prefix(root: Path, work: Path, place: str) -> list[str]:
    uid, gid, unshare = os.geteuid(), os.getegid(), shutil.which("unshare") or "unshare"
    apart = [] if uid == 0 else ["--user", "--map-root-user"]
    words = [unshare, *apart, "--mount", "--propagation", "private", "--", _SHELL, "-c", _MOUNT, "shunter-files"]
    return [*words, str(root), str(work), place, str(uid), str(gid), unshare]


def _trial(folder: Path) -> list[str]:
    """Return a command that fails where folders cannot be shown elsewhere: many containers do not let us."""
    root, work = folder / "root", folder / "work"
    for path in (folder, root, work):
        path.mkdir(exist_ok=True)
    (work / "here").touch()
    return [*_prefix(root, work, "/shunter-files"), _SHELL, "-c", "test -e /shunter-files/here"]
