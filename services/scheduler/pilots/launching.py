"""How a pilot is started on a node: the script, the file, and what both must know."""

from __future__ import annotations

from pathlib import Path

__all__ = ["SCRIPT"]

SCRIPT = "#!/bin/sh\n" + Path(__file__).with_name("launch.sh").read_text()
"""Becomes the pilot; it holds no secret."""
