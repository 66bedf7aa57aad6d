"""Requests that a client is told to make."""

from __future__ import annotations

from starlette.requests import Request

from .models import FileHTTPRequest

__all__ = ["request_beside"]


def request_beside(request: Request, method: str, verb: str, **query: str) -> FileHTTPRequest:
    """Return a request for the same address with *verb* instead of `url`, and with what proves who asks."""
    url = request.url.replace(query="")
    url = url.replace(path=url.path.removesuffix("url") + verb)
    headers = {"authorization": request.headers["authorization"]} if "authorization" in request.headers else {}
    return FileHTTPRequest(method=method, url=str(url.include_query_params(**query)), headers=headers)
