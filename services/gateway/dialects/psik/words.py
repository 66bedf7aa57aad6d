"""What psik's routes may answer."""

from __future__ import annotations

from services.gateway.dialects.details import answers, told

__all__ = ["RESPONSES"]

RESPONSES = answers({400: told("The identifier has not the form of one, or the site cannot do what is asked.")})
"""What any route may answer besides what was asked for."""
