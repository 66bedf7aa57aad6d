"""What a token says of itself: slurmrestd does not say that it has run out, but that something is wrong."""

from __future__ import annotations

from contextlib import suppress
from time import time

import orjson
from joserfc import jws
from joserfc.errors import JoseError

__all__ = ["has_run_out"]


def has_run_out(token: str) -> bool:
    """Say whether a JWT is too old by its own words; it is Slurm that verifies it."""
    with suppress(JoseError, ValueError):
        claims = orjson.loads(jws.extract_compact(token.encode()).payload)
        end = claims.get("exp") if isinstance(claims, dict) else None
        return isinstance(end, int | float) and end <= time()
    return False
