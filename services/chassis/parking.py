"""How a parked message says where it comes from, and how it is shown to an operator: without secrets."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from contracts.envelope import Envelope
from contracts.events import MessageParked

__all__ = ["ORIGINAL_ID", "PARKED", "parked_header", "read_parked", "without_secrets"]

PARKED = "Shunter-Parked"
"""The header of a parked message: the `MessageParked` that was announced, as ASCII JSON."""

ORIGINAL_ID = "Shunter-Message-Id"
"""The header of a message that was sent again: the id by which inboxes know it."""

_HIDDEN = "***"
_SECRET = re.compile(
    r"token|secret|passw|credential|ticket|authorization|api_?key|private|cookie|signature", re.IGNORECASE
)
_VALUES = frozenset({"env", "environment", "headers"})
"""Maps whose values users fill with whatever they like."""
_SIGNED = re.compile(r"(?i)([?&](?:X-Amz-[A-Za-z-]+|signature|token|sig)=)[^&\s\"']+")


def parked_header(parked: MessageParked) -> str:
    """Write the header; its value is ASCII on one line, whatever the error says."""
    return json.dumps(parked.model_dump(mode="json"), ensure_ascii=True)


def read_parked(subject: str, data: bytes, headers: Mapping[str, str]) -> MessageParked:
    """Say what is known of a parked message; those of release 0.1 have no header."""
    try:
        return MessageParked.model_validate_json(headers.get(PARKED, ""), extra="ignore")
    except ValidationError:
        _, service, origin = subject.split(".", 2)
        return MessageParked(
            service=service,
            stream=origin.partition(".")[0].upper(),
            subject=origin,
            sequence=0,
            deliveries=0,
            message_id=_envelope_id(data) or headers.get("Nats-Msg-Id", ""),
            error="",
        )


def _envelope_id(data: bytes) -> str:
    try:
        return Envelope.from_bytes(data).id
    except ValidationError:
        return ""


def without_secrets(value: Any) -> Any:
    """Return JSON in which whatever may be a secret is replaced by stars."""
    if isinstance(value, dict):
        return {name: _HIDDEN if _SECRET.search(name) else _inside(name, item) for name, item in value.items()}
    if isinstance(value, list):
        return [without_secrets(item) for item in value]
    return _SIGNED.sub(rf"\1{_HIDDEN}", value) if isinstance(value, str) else value


def _inside(name: str, item: Any) -> Any:
    if name in _VALUES and isinstance(item, dict):
        return dict.fromkeys(item, _HIDDEN)
    return without_secrets(item)
