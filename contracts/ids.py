"""Identifiers: sortable, safe in NATS subjects, S3 keys, file names and URLs."""

from __future__ import annotations

import uuid
from typing import Annotated

from pydantic import StringConstraints
from uuid_utils import uuid7

__all__ = ["WorkloadId", "message_id", "message_id_after", "workload_id", "workload_id_from"]

WorkloadId = Annotated[str, StringConstraints(pattern=r"^[a-z]{3}-[0-9a-f]{32}$")]
"""A workload's identifier, e.g. `job-0193e7…`: three letters for the kind, then 32 hex digits."""

_LONGEST = 128
_IDEMPOTENCY = uuid.UUID("6d4e9d0e-0c53-5f0e-9f61-3f6a0d0f7a11")
"""The namespace of identifiers that are derived from an `Idempotency-Key`."""


def message_id() -> str:
    """Return a new identifier for a command, an event or a request."""
    return uuid7().hex


def message_id_after(what: str, message: str) -> str:
    """Return the one identifier for what is said of *message* once, e.g. that it was `refused`."""
    found = f"{what}-{message}"
    return found if len(found) <= _LONGEST else f"{what}-{uuid.uuid5(_IDEMPOTENCY, found).hex}"


def workload_id(prefix: str = "job") -> str:
    """Return a new workload identifier, sortable by time of creation."""
    return f"{prefix}-{uuid7().hex}"


def workload_id_from(subject: str, key: str, prefix: str = "job") -> str:
    """Return the one identifier that belongs to *key* of *subject*: a repeated request names the same workload."""
    return f"{prefix}-{uuid.uuid5(_IDEMPOTENCY, f'{subject}|{key}').hex}"
