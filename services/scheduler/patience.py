"""How often something is tried that goes to the outside."""

from __future__ import annotations

from pydantic import BaseModel, Field

__all__ = ["Patience"]


class Patience(BaseModel):
    """Tries, and the pauses between them."""

    attempts: int = Field(default=16, ge=1, le=100)
    """Tries, after which it is a dead letter."""
    first_pause: float = Field(default=2.0, gt=0)
    """Seconds before the second try; each further pause is twice as long."""
    longest_pause: float = Field(default=3600.0, gt=0)
