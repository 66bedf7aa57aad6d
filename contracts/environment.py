"""Variables that a program is given."""

from __future__ import annotations

import re

from .words import utf8_size

__all__ = ["MOST_OF_ONE", "check_env"]

MOST_OF_ONE = 131_071
"""Bytes of one argument or variable; Linux starts no program with a longer one."""

_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")


def check_env(env: dict[str, str]) -> dict[str, str]:
    """Return *env* if a program can be started with it and nothing in it is ours, or say what is wrong."""
    for name, value in env.items():
        if not _ENV_NAME.fullmatch(name):
            raise ValueError(f"{name[:64]!r} is no name for an environment variable")
        if "\x00" in value:
            raise ValueError(f"the value of {name} holds a NUL character")
        if name.startswith("SHUNTER_"):
            raise ValueError(f"{name}: names that start with SHUNTER_ are Shunter's own")
        if utf8_size(value) + len(name) >= MOST_OF_ONE:
            raise ValueError(f"{name} and its value must not be longer than {MOST_OF_ONE} bytes")
    return env
