"""The output of a psik job, of all its runs at once, as text."""

from __future__ import annotations

from typing import get_args

from contracts.runs import Stream
from services.gateway.factory import Factory
from services.gateway.logs import LogSource

from .jobs import Chain
from .names import CUT

__all__ = ["read_logs"]


async def read_logs(services: Factory, chain: Chain, *, most: int) -> dict[str, str]:
    """Return `stdout.N` and `stderr.N` of each run that began, and in `messages` what else there is to say."""
    found: dict[str, str] = {}
    messages: list[str] = []
    for ndx, run in enumerate(chain.runs, start=1):
        if run.started_at is None:
            continue
        workload = await services.jobs().get(run.id)
        for stream in get_args(Stream):
            source = await services.logs().open(workload, stream, None)
            name = f"{stream}.{ndx}"
            found[name] = await _text(source, most)
            if source.size - source.begins > most:
                messages.append(f"{name}: the last {most} of {source.size} bytes; all are in /v1/jobs/{run.id}/logs")
    if found:
        if cut := chain.runs[0].labels.get(CUT):
            messages.append(f"asked for more than there is: {cut}")
        found["messages"] = "".join(f"{line}\n" for line in messages)
    return found


async def _text(source: LogSource, most: int) -> str:
    """Return the end of a log; bytes that are no text are shown by their hexadecimal numbers."""
    start = max(source.begins, source.size - most)
    raw = b"".join([piece async for piece in source.pieces(start, source.size)])
    return raw.decode("utf-8", "backslashreplace")
