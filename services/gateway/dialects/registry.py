"""The dialects that there are. One more is one more folder beside this file and one more line below."""

from __future__ import annotations

from collections.abc import Callable

from services.gateway.factory import Process

from .decode.dialect import make_decode
from .decode_worker.dialect import make_decode_worker
from .dialect import Dialect
from .psik.dialect import make_psik

__all__ = ["DIALECTS", "make_dialects"]

DIALECTS: dict[str, Callable[[Process], Dialect]] = {
    "psik": make_psik,
    "decode": make_decode,
    "decode_worker": make_decode_worker,
}
"""Makes each, by its name."""


def make_dialects(process: Process, *, only: str | None = None) -> dict[str, Dialect]:
    """Return the dialects by where they are mounted; *only* one has the whole port."""
    if only is not None:
        return {"": DIALECTS[only](process)}
    return {f"/{name.replace('_', '-')}": make(process) for name, make in DIALECTS.items()}
