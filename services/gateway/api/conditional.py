"""ETags and the conditions that requests make with them (RFC 9110, section 13)."""

from __future__ import annotations

import re

__all__ = ["matches", "revision_of", "revision_tag", "sha256_tag"]

_TAG = re.compile(r'(?:W/)?"([^"]*)"')
_REVISION = re.compile(r'\s*(?:W/)?"([0-9]{1,18})(?:-[0-9]{1,18})?"\s*')


def revision_tag(revision: int, batch: int = 0) -> str:
    """Return the tag of a record that counts its moves, and the batches in which its tasks moved if it has any."""
    return f'"{revision}-{batch}"' if batch else f'"{revision}"'


def sha256_tag(sha256: str) -> str:
    """Return the tag of bytes that never change."""
    return f'"{sha256}"'


def matches(header: str | None, tag: str) -> bool:
    """Say whether an `If-None-Match` names *tag*."""
    if header is None:
        return False
    return header.strip() == "*" or tag.strip('"') in _TAG.findall(header)


def revision_of(header: str | None) -> int | None:
    """Return the revision that a client has already, by its `If-None-Match`."""
    found = _REVISION.fullmatch(header or "")
    return int(found[1]) if found else None
