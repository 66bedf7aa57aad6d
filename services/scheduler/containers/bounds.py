"""How little a container may do, whoever starts it: no privileges to be had, and no more room than was asked for."""

from __future__ import annotations

from typing import Any

__all__ = ["API", "bounds"]

API = "1.41"
"""The version of the engine's API whose words are used; newer ones know them too."""


def bounds(*, cpus: float, memory: int, pids: int) -> dict[str, Any]:
    """Return words for the engine; no *memory* is no limit."""
    return {
        "version": API,
        "restart_policy": {"Name": "no"},
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "nano_cpus": round(cpus * 1e9),
        # The same for memory and for swap with it: none of it is swap.
        "mem_limit": memory or None,
        "memswap_limit": memory or None,
        "pids_limit": pids,
    }
