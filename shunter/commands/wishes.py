"""The options of `submit`, and the spec that they make together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

__all__ = [
    "After",
    "Argv",
    "Backend",
    "Cpus",
    "DryRun",
    "Env",
    "File",
    "Follow",
    "GpuModel",
    "Gpus",
    "Hold",
    "Image",
    "Inputs",
    "Key",
    "Labels",
    "Memory",
    "Name",
    "OptionalOutputs",
    "Outputs",
    "Priority",
    "Project",
    "Retries",
    "StartAt",
    "Wait",
    "Walltime",
    "given",
    "outputs_of",
]

_Words = list[str] | None
_Text = str | None

Argv = Annotated[_Words, typer.Argument(metavar="[-- PROGRAM ARGS...]", help="What to run.", show_default=False)]
File = Annotated[_Text, typer.Option("--file", "-f", help="A YAML or JSON spec, or several; `-` is standard input.")]
Name = Annotated[_Text, typer.Option("--name", "-n", help="A name to find it by.")]
Project = Annotated[_Text, typer.Option("--project", "-p", help="Whom to bill.")]
Cpus = Annotated[float | None, typer.Option("--cpus", help="Cores.")]
Memory = Annotated[_Text, typer.Option("--memory", help="For example `512MiB`.")]
Gpus = Annotated[int | None, typer.Option("--gpus", help="GPUs.")]
GpuModel = Annotated[_Text, typer.Option("--gpu-model", help="For example `a100`.")]
Walltime = Annotated[_Text, typer.Option("--walltime", help="The longest it may run: `90s`, `1h30m`.")]
Inputs = Annotated[_Words, typer.Option("--input", "-i", help="A file of yours to bring: `SOURCE[:TARGET]`.")]
Outputs = Annotated[_Words, typer.Option("--output", "-o", help="A path or glob to bring home.")]
OptionalOutputs = Annotated[_Words, typer.Option("--optional-output", help="The same, but it may be absent.")]
Env = Annotated[_Words, typer.Option("--env", "-e", help="`NAME=VALUE`.")]
Labels = Annotated[_Words, typer.Option("--label", "-l", help="`name=value`, to filter by.")]
Retries = Annotated[int | None, typer.Option("--retries", help="How many more attempts when one fails.")]
Image = Annotated[_Text, typer.Option("--image", help="A container image, where the backend runs them.")]
Backend = Annotated[_Text, typer.Option("--backend", help="A cluster by name; else Shunter chooses.")]
Hold = Annotated[bool, typer.Option("--hold", help="Wait for `shunter release` after acceptance.")]
Priority = Annotated[int | None, typer.Option("--priority", help="-100 to 100; larger goes first.")]
StartAt = Annotated[_Text, typer.Option("--start-at", help="Not before: `+2h`, `18:00`, `2030-01-31T18:00`.")]
After = Annotated[_Words, typer.Option("--after", help="When it has ended: `JOB[:success|failure|any][+DELAY]`.")]
Key = Annotated[_Text, typer.Option("--idempotency-key", help="The same key twice makes one job.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait for the end; exit 1 if it does not succeed.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check everything that can be checked here; send nothing.")]
Follow = Annotated[bool, typer.Option("--follow", help="Wait for the end and show what it prints.")]


def given(**values: Any) -> dict[str, Any]:
    """Return what was really given; the defaults are the server's business."""
    return {name: value for name, value in values.items() if not _is_nothing(value)}


def _is_nothing(value: object) -> bool:
    """Say whether an option was left out; a zero was not."""
    return value is None or value is False or value in ([], {})


def outputs_of(required: Sequence[str] | None, optional: Sequence[str] | None) -> list[dict[str, Any]]:
    """Return outputs as a spec names them."""
    return [{"path": path} for path in required or ()] + [{"path": path, "required": False} for path in optional or ()]
