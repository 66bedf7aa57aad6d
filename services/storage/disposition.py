"""What a download is called at its other end."""

from __future__ import annotations

from urllib.parse import quote

__all__ = ["attachment"]


def attachment(filename: str) -> str:
    """Return a `Content-Disposition` by which a browser keeps the bytes under a name."""
    return f"attachment; filename*=UTF-8''{quote(filename, safe='')}"
