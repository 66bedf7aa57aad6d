"""What a command's end means to a script: the exit codes, decided in this one place."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import typer
from typer.core import TyperGroup

__all__ = ["ExitCode", "ShunterGroup", "leave"]


class ExitCode(IntEnum):
    """How a command ended."""

    OK = 0
    FAILED = 1
    """The job failed, or the figures differ."""
    USAGE = 2
    NOT_ALLOWED = 3
    NOT_FOUND = 4
    SERVER = 5
    """The server or the network."""
    INTERRUPTED = 130


def leave(code: ExitCode) -> typer.Exit:
    """Return what to raise to end with *code*."""
    return typer.Exit(int(code))


class ShunterGroup(TyperGroup):
    """The root command; whatever a sub-command raises becomes a line for people and a code for scripts."""

    def invoke(self, ctx: Any) -> Any:
        """Run the sub-command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise leave(ExitCode.INTERRUPTED) from error
        except BrokenPipeError:
            raise  # `shunter ps | head` is no failure of ours; Typer ends quietly
        except OSError as error:
            if error.filename is None and not isinstance(error, TimeoutError):
                raise
            raise leave(_report_local(error)) from error
        except Exception as error:
            code = _report(error)
            if code is None:
                raise
            raise leave(code) from error


def _report_local(error: OSError) -> ExitCode:
    """Say what is wrong with a local file, or that we waited long enough."""
    if error.filename is None:
        typer.secho(str(error), fg="red", err=True)
        return ExitCode.SERVER
    typer.secho(f"{error.filename}: {error.strerror}", fg="red", err=True)
    return ExitCode.USAGE


def _report(error: Exception) -> ExitCode | None:
    """Say what went wrong and return the code; none if it is nothing that we know."""
    from contracts.errors import ShunterError

    if not isinstance(error, ShunterError):
        return None
    typer.secho(error.detail, fg="red", err=True)
    for item in error.errors:
        line = f"{item.field}: {item.message}"
        if line not in error.detail:
            typer.secho(f"  {line}", fg="red", err=True)
    return _code_of(error)


def _code_of(error: Exception) -> ExitCode:
    from contracts.errors import (
        ForbiddenError,
        NotFoundError,
        OverQuotaError,
        RefusedError,
        UnauthenticatedError,
    )

    if isinstance(error, ForbiddenError | UnauthenticatedError | OverQuotaError):
        return ExitCode.NOT_ALLOWED
    if isinstance(error, NotFoundError):
        return ExitCode.NOT_FOUND
    return ExitCode.USAGE if isinstance(error, RefusedError) else ExitCode.SERVER
