"""The `shunter` command: its sub-commands, and the exit codes that scripts rely on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from .commands import (
    applications,
    audit,
    backends,
    batches,
    deliveries,
    doctor,
    facts,
    files,
    inspection,
    keys,
    limits,
    login,
    logs,
    mail,
    names,
    parked,
    projects,
    schedules,
    sharing,
    stack,
    steering,
    submission,
    subscriptions,
    tasks,
    token,
    usage,
    users,
    versions,
    waiting,
    worker,
)
from .commands.outcomes import ShunterGroup
from .commands.session import Session

__all__ = ["app", "main"]

_EPILOG = (
    "Exit codes: 0 ok · 1 the job failed, or figures differ · 2 usage · 3 not allowed · 4 not found · "
    "5 server or network · 130 Ctrl-C"
)

app = typer.Typer(
    name="shunter",
    cls=ShunterGroup,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=_EPILOG,
)


@app.callback()
def prepare(
    ctx: typer.Context,
    url: Annotated[
        str | None,
        typer.Option(
            envvar="SHUNTER_URL", help="The server; also `unix:<path>`.", show_default="http://127.0.0.1:8800"
        ),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(help="A file that holds the token. Else: `SHUNTER_TOKEN`, or `~/.config/shunter/config.yaml`."),
    ] = None,
) -> None:
    """Run work on any cluster of the lab.

    `shunter up` starts everything on this machine; then `shunter submit --follow -- echo hello`.
    """
    session: Session = ctx.obj or Session()
    ctx.obj = session.pointed_at(url, token_file)


_STACK, _JOBS, _DATA, _SITE = "The stack on this machine", "Jobs", "Files and figures", "The server"
_WHO = "Who may do what"


def _add(panel: str, *commands: Callable[..., None]) -> None:
    for command in commands:
        app.command(rich_help_panel=panel)(command)


_add(_STACK, stack.up, stack.down, stack.service, stack.gateway, stack.backup, stack.restore)
app.add_typer(worker.app, name="worker", rich_help_panel=_STACK)
# What follows `--` belongs to the user's program; options before it are ours.
app.command(rich_help_panel=_JOBS, context_settings={"allow_interspersed_args": False})(submission.submit)
_add(_JOBS, inspection.ps, inspection.show, inspection.history, tasks.tasks, logs.logs)
_add(_JOBS, waiting.explain, steering.wait, steering.cancel)
_add(_JOBS, waiting.hold, waiting.release, steering.start, steering.retry)
app.command("rm", rich_help_panel=_JOBS)(steering.remove)
app.add_typer(batches.app, name="batch", rich_help_panel=_JOBS)
app.add_typer(schedules.app, name="schedule", rich_help_panel=_JOBS)
app.add_typer(subscriptions.app, name="subscriptions", rich_help_panel=_SITE)
app.add_typer(deliveries.app, name="deliveries", rich_help_panel=_SITE)
for _verb, _command in (
    *(("mkdir", names.make_folder), ("mv", names.move), ("versions", versions.versions), ("trash", versions.trash)),
    *(("restore", versions.restore), ("empty-trash", versions.empty_trash), ("usage", limits.usage)),
    *(("limits", limits.limits), ("limit", limits.limit), ("unlimit", limits.unlimit)),
):
    files.app.command(_verb)(_command)
app.add_typer(mail.app, name="mail", rich_help_panel=_SITE)
app.add_typer(files.app, name="files", rich_help_panel=_DATA)
_add(_DATA, sharing.share, sharing.unshare, sharing.shares, usage.usage)
app.add_typer(audit.app, name="audit", rich_help_panel=_DATA)
for _name, _group in (("token", token), ("keys", keys), ("users", users), ("projects", projects)):
    app.add_typer(_group.app, name=_name, rich_help_panel=_WHO)
app.add_typer(parked.app, name="parked", rich_help_panel=_SITE)
app.add_typer(backends.app, name="backends", rich_help_panel=_SITE)
_add(_SITE, login.login, login.logout, applications.apps, facts.whoami, doctor.doctor, facts.version)


def main() -> None:
    """Run the command line."""
    app(prog_name="shunter")
