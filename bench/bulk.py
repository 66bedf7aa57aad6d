"""Large bodies up and down by a client that costs next to nothing: what is measured is the server."""

from __future__ import annotations

import http.client
import secrets
from collections.abc import Mapping
from urllib.parse import urlsplit

__all__ = ["ask_bulk", "form_of"]

_PIECE = 2**20
_PATIENCE = 120


def form_of(fields: Mapping[str, str], name: str, content: bytes) -> tuple[str, bytes]:
    """Return a form with one file at its end: its type, and its bytes."""
    mark = secrets.token_hex(16)
    parts = [
        f'--{mark}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n' for key, value in fields.items()
    ]
    head = f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
    kind = "Content-Type: application/octet-stream\r\n\r\n"
    body = "".join([*parts, head, kind]).encode() + content + f"\r\n--{mark}--\r\n".encode()
    return f"multipart/form-data; boundary={mark}", body


def ask_bulk(method: str, url: str, headers: Mapping[str, str], body: bytes | None = None) -> int:
    """Send a request and read the answer whole; returns its length. Raises for an answer that is not 2xx."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.netloc, timeout=_PATIENCE)
    try:
        target = place.path + (f"?{place.query}" if place.query else "")
        connection.request(method, target, body, dict(headers))
        answer = connection.getresponse()
        if not 200 <= answer.status < 300:
            raise RuntimeError(f"{method} {place.path}: {answer.status} {answer.read(500)!r}")
        buffer, length = bytearray(_PIECE), 0
        while count := answer.readinto(buffer):
            length += count
        return length
    finally:
        connection.close()
