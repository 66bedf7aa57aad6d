"""Whether the kernel ended something of ours for want of memory, as our control group counts it."""

from __future__ import annotations

from pathlib import Path

__all__ = ["kills"]

_ROOT = Path("/sys/fs/cgroup")
_NEW, _OLD = "memory.events", "memory.oom_control"


def kills(own: Path = Path("/proc/self/cgroup"), root: Path = _ROOT) -> int:
    """Return how many processes of our control group it ended so far; none where nobody counts them."""
    for file in _files(own, root):
        try:
            words = file.read_text(encoding="utf-8").split()
        except OSError:
            continue
        if "oom_kill" in words[:-1]:
            return int(words[words.index("oom_kill") + 1])
    return 0


def _files(own: Path, root: Path) -> list[Path]:
    """Return where the count may be: a container sees its own group as the root of all, or by its whole path."""
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    files = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            files += [root / "memory" / path.lstrip("/") / _OLD, root / "memory" / _OLD]
        elif not controllers:
            files += [root / path.lstrip("/") / _NEW, root / _NEW]
    return files
