"""The pilot's file, as it goes into a ConfigMap."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

__all__ = ["PilotFile", "read_pilot"]

_LARGEST: Final = 700 * 1024
"""Bytes: an object of the cluster has 1 MiB at most, and this one is written in base64."""


@dataclass(frozen=True, slots=True)
class PilotFile:
    """The content, and the name that says which it is."""

    content: bytes

    @property
    def name(self) -> str:
        """Return the name of its ConfigMap."""
        return f"shunter-pilot-{sha256(self.content).hexdigest()[:16]}"


def read_pilot(file: Path) -> PilotFile | None:
    """Read the pilot; None if it is too large for a ConfigMap, and has to be fetched by each job."""
    return PilotFile(file.read_bytes()) if file.stat().st_size <= _LARGEST else None
