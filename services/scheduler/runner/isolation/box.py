"""The command line of bubblewrap for one run: what its program sees of this node, and where it may write."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from services.scheduler.runner.census import KEEPER

__all__ = ["Box", "Node", "look_at_node"]

_OWN = ("/dev", "/proc", "/run", "/tmp")  # noqa: S108 (each box has its own)
_NAMESPACES = ("--unshare-pid", "--unshare-ipc", "--unshare-uts", "--as-pid-1", "--die-with-parent")
_RESOLVER = Path("/etc/resolv.conf")
_GPUS = ("nvidia*", "dri", "dxg", "kfd")

_INSIDE = f"""
trap : HUP INT QUIT USR1 USR2 ALRM TERM
unset {KEEPER}
exec 3>&2 2>&9
(exec "$@" 2>&3 3>&- 9>&-)
exit $?
"""
"""The first process of the box. It says of its program's death what shells say, to where the wrapper outside says it:
bubblewrap itself only passes the code on."""


@dataclass(frozen=True, slots=True)
class Node:
    """What there is on this node, as far as boxes care."""

    roots: tuple[tuple[str, str], ...]
    """What lies in `/`, and where it points if it is a link."""
    hide: tuple[Path, ...]
    show: tuple[Path, ...]
    gpus: tuple[str, ...] = ()
    """Devices that only runs with GPUs see."""
    resolver: str = ""
    """The file that names the resolver, if it lies where boxes have a folder of their own."""

    def can_show_at(self, place: str) -> bool:
        """Say whether a folder can be shown there: nothing can be made in a folder that is read-only."""
        top = "/" + place.strip("/").partition("/")[0]
        return top not in _OWN and (all(path != top for path, _ in self.roots) or os.path.isdir(place))  # noqa: PTH112

    def changes(self) -> list[tuple[Path, bool]]:
        """Return what is to be hidden (False) and shown (True), outermost first, and nothing that already is so."""
        wanted = dict.fromkeys(self.show, True) | dict.fromkeys(self.hide, False)
        state = {Path("/"): True, **{Path(path): False for path in _OWN}}
        found = []
        for path in sorted(wanted, key=lambda path: (len(path.parts), path)):
            nearest = next(above for above in (path, *path.parents) if above in state)
            if state[nearest] is not wanted[path] and path != Path("/"):
                state[path] = wanted[path]
                found.append((path, wanted[path]))
        return found


def look_at_node(*, hide: Sequence[Path], show: Sequence[Path]) -> Node:
    """Return what boxes on this node are made of; what is not there need not be hidden."""
    roots = [(str(path), str(path.readlink()) if path.is_symlink() else "") for path in sorted(Path("/").iterdir())]
    gpus = [str(path) for name in _GPUS for path in sorted(Path("/dev").glob(name))]
    resolver = str(_RESOLVER.resolve())
    return Node(
        roots=tuple(roots),
        hide=tuple(path.resolve() for path in hide if path.exists()),
        show=tuple(path.resolve() for path in show if path.exists()),
        gpus=tuple(gpus),
        resolver=resolver if resolver.startswith(_OWN) else "",
    )


@dataclass(frozen=True, slots=True)
class Box:
    """One run's."""

    bwrap: str
    node: Node
    work: Path
    temporary: Path
    reads: tuple[Path, ...] = ()
    """What else of its own the run may read, such as its script."""
    place: str | None = None
    """Where else its working folder is shown."""
    has_gpus: bool = False
    has_network: bool = True

    def words(self) -> list[str]:
        """Return what goes before the program."""
        shell = ["/bin/sh", "-c", _INSIDE, "shunter-box"]
        network = [] if self.has_network else ["--unshare-net"]
        options = [*_NAMESPACES, *network, "--cap-drop", "ALL", *self._root(), *self._changes()]
        return [self.bwrap, *options, *self._own(), *self._sealed(), "--chdir", self.place or str(self.work), *shell]

    def _root(self) -> list[str]:
        words: list[str] = []
        for path, link in self.node.roots:
            if link:
                words += ["--symlink", link, path]
            elif path not in {*_OWN, self.place}:
                words += ["--ro-bind", path, path]
        words += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/dev/shm", "--tmpfs", "/run"]  # noqa: S108
        for device in self.node.gpus if self.has_gpus else ():
            words += ["--dev-bind-try", device, device]
        if self.node.resolver and self.has_network:
            words += ["--ro-bind-try", self.node.resolver, self.node.resolver]
        # On the disk, like the working folder: what is written there is no memory of the run.
        return [*words, "--bind", str(self.temporary), "/tmp"]  # noqa: S108

    def _changes(self) -> list[str]:
        words: list[str] = []
        for path, is_shown in self.node.changes():
            if is_shown:
                words += ["--ro-bind", str(path), str(path)]
            elif path.is_dir():
                words += ["--tmpfs", str(path)]
            else:
                words += ["--ro-bind", os.devnull, str(path)]
        return words

    def _own(self) -> list[str]:
        words: list[str] = []
        for path in (self.work, self.temporary):
            words += ["--bind", str(path), str(path)]
        for path in self.reads:
            words += ["--ro-bind-try", str(path), str(path)]
        return [*words, "--bind", str(self.work), self.place] if self.place else words

    def _sealed(self) -> list[str]:
        hidden = [str(path) for path, is_shown in self.node.changes() if not is_shown and path.is_dir()]
        return [word for path in ("/", "/dev", "/run", *hidden) for word in ("--remount-ro", path)]
