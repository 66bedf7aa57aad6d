"""How the bytes of a file are answered: ranges, conditions, and nothing that a browser would run."""

from __future__ import annotations

from urllib.parse import quote

from starlette.responses import Response, StreamingResponse

from contracts.files import DownloadUrl
from services.gateway.transfer import Download, Transfer

from .conditional import matches, sha256_tag
from .ranges import Span, read_range

__all__ = ["answer_file", "file_headers"]


def file_headers(path: str, sha256: str, span: Span) -> dict[str, str]:
    """Return the headers of a file, or of a range of it."""
    name = quote(path.rsplit("/", 1)[-1], safe="")
    return {
        **span.to_headers(),
        "ETag": sha256_tag(sha256),
        # Whatever users keep, it must not act in our name when a browser shows it.
        "Content-Disposition": f"attachment; filename*=UTF-8''{name}",
        "Content-Security-Policy": "sandbox; default-src 'none'",
    }


async def answer_file(
    transfer: Transfer, url: DownloadUrl, path: str, *, wanted: str | None, condition: str | None, if_range: str | None
) -> Response:
    """Answer with the bytes behind *url*, through us."""
    if matches(condition, tag := sha256_tag(url.sha256)):
        return Response(status_code=304, headers={"ETag": tag})
    span = read_range(wanted if if_range in {None, tag} else None, url.size)
    headers = file_headers(path, url.sha256, span)
    if not span.length:
        return Response(b"", span.status, headers, media_type="application/octet-stream")
    download: Download = await transfer.open(url.url, span.to_range() if span.partial else None)
    return StreamingResponse(download.pieces(), span.status, headers, media_type=download.content_type)
