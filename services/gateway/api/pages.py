"""Cursor pages: `next_cursor` in the body and a `Link` to the next page in the header."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request

__all__ = ["next_link"]


def next_link(request: Request, cursor: str | None) -> dict[str, str]:
    """Return the header that leads to the next page, if there is one."""
    if cursor is None:
        return {}
    query = [(key, value) for key, value in parse_qsl(request.url.query, keep_blank_values=True) if key != "cursor"]
    return {"Link": f'<{request.url.path}?{urlencode([*query, ("cursor", cursor)])}>; rel="next"'}
