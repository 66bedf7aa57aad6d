"""Which way leads to the Slurm of a site."""

from __future__ import annotations

from .by_commands import CommandDoor
from .by_rest import RestDoor
from .door import Door
from .settings import SlurmSettings
from .shell import LocalShell, Shell
from .ssh import SshShell

__all__ = ["door_of"]


def door_of(settings: SlurmSettings) -> Door:
    """Return the way that the settings say; nothing is opened yet."""
    if settings.rest:
        return RestDoor(settings.rest, work=settings.work, timeout=settings.timeout)
    return CommandDoor(_shell_of(settings), work=settings.work, partitions=settings.allowed.get("partition", ()))


def _shell_of(settings: SlurmSettings) -> Shell:
    env = {"SLURM_CONF": settings.conf} if settings.conf else {}
    if settings.ssh:
        return SshShell(settings.ssh, timeout=settings.timeout, env=env, commands=settings.commands)
    return LocalShell(timeout=settings.timeout, env=env, commands=settings.commands)
