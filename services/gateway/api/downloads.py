"""How the bytes of a file are answered: ranges, conditions, and nothing that a browser would run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import quote

from starlette.responses import Response, StreamingResponse

from contracts.files import DownloadUrl
from services.gateway.streams import Streams

from .conditional import matches, sha256_tag
from .ranges import Span

__all__ = ["answer_file", "answer_zip", "file_headers"]


def file_headers(path: str, sha256: str, span: Span) -> dict[str, str]:
    """Return the headers of a file, or of a range of it."""
    return {**span.to_headers(), "ETag": sha256_tag(sha256), **_attachment(path.rsplit("/", 1)[-1])}


async def answer_file(
    streams: Streams, url: DownloadUrl, path: str, *, wanted: str | None, condition: str | None, if_range: str | None
) -> Response:
    """Answer with the bytes behind *url*, through us."""
    if matches(condition, tag := sha256_tag(url.sha256)):
        return Response(status_code=304, headers={"ETag": tag})
    found = await streams.stream_of(url, path, wanted if if_range in {None, tag} else None)
    headers = file_headers(path, url.sha256, found.span)
    return StreamingResponse(found.pieces, found.span.status, headers, media_type=found.content_type)


def answer_zip(pieces: AsyncIterator[bytes], name: str) -> Response:
    """Answer with a folder as a zip that is made as it is sent."""
    headers = _attachment(f"{name or 'files'}.zip")
    return StreamingResponse(pieces, headers=headers, media_type="application/zip")


def _attachment(name: str) -> dict[str, str]:
    return {
        # Whatever users keep, it must not act in our name when a browser shows it.
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
        "Content-Security-Policy": "sandbox; default-src 'none'",
    }
