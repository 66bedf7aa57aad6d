"""What `shunter up` says: progress and troubles on stderr, one table or one JSON object on stdout."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .processes import Child, memory_of

__all__ = ["Screen", "last_lines"]

_TAIL = 15
"""Lines of a log that are shown when its part died."""


def last_lines(log: Path) -> str:
    """Return the end of a log, indented."""
    try:
        with log.open("rb") as source:
            source.seek(max(0, log.stat().st_size - 20_000))
            lines = source.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        lines = []
    return "\n".join(f"    {line[:2000]}" for line in lines[-_TAIL:])


def _table(rows: list[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


class Screen:
    """Speaks to whoever started the stack."""

    def __init__(self, *, as_json: bool = False, way_out: str = "Ctrl-C stops it") -> None:
        self._as_json = as_json
        self._way_out = way_out

    def say(self, text: str) -> None:
        """Tell how it goes."""
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    def show(self, record: Mapping[str, Any], children: Mapping[str, Child], log: Path) -> None:
        """Say what runs where, once everything answers."""
        memory = {name: memory_of(child.pid) for name, child in children.items()}
        memory["supervisor"] = memory_of(os.getpid())
        if self._as_json:
            parts = {
                name: {**part, "memory": memory[name][0], "rss": memory[name][1]}
                for name, part in record["parts"].items()
            }
            text = json.dumps({**record, "parts": parts, "memory": sum(pss for pss, _ in memory.values())})
        else:
            text = self._describe(record, memory, log)
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    def _describe(self, record: Mapping[str, Any], memory: Mapping[str, tuple[int, int]], log: Path) -> str:
        rows: list[tuple[str, ...]] = [("PART", "URL", "PID", "MEMORY", "LOG")]
        rows += [
            (name, part["url"], str(part["pid"]), f"{memory[name][0] / 1e6:.0f} MB", part["log"])
            for name, part in record["parts"].items()
        ]
        rows.append(("supervisor", "", str(record["pid"]), f"{memory['supervisor'][0] / 1e6:.0f} MB", str(log)))
        total = sum(pss for pss, _ in memory.values())
        links = [
            ("API", record["gateway"]),
            ("API docs", record["docs"]),
            ("Temporal UI", f"{record['temporal_ui']}/namespaces/shunter/workflows"),
        ]
        if record["demo_users"]:
            links.append(("Demo users", record["demo_users"]))
        shown = "\n".join(f"{name:12} {url}" for name, url in links)
        return f"{_table(rows)}\n\n{shown}\n\nEverything answers ({total / 1e6:.0f} MB in all). {self._way_out}."
