"""Whether there is room on the disk of this node."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["FULL", "is_full"]

FULL = "the disk of its node is full"

_LITTLE = 2**18
"""Bytes with which no program gets far."""


def is_full(place: Path) -> bool:
    """Say whether nothing more can be written there."""
    try:
        found = os.statvfs(place)
    except OSError:
        return False
    return found.f_bavail * found.f_frsize < _LITTLE
