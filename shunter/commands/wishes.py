"""The options of `submit`, and the spec that they make together."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = [
    "After",
    "App",
    "Argv",
    "Array",
    "Backend",
    "Backends",
    "Callback",
    "CallbackSecret",
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
    "ItemsFrom",
    "Key",
    "Labels",
    "MailOn",
    "MailTo",
    "MaxRunning",
    "Memory",
    "Name",
    "Needs",
    "OptionalOutputs",
    "Outputs",
    "Priority",
    "Project",
    "Retries",
    "StartAt",
    "UniqueName",
    "Wait",
    "Walltime",
    "array_of",
    "callback_of",
    "given",
    "labels_of",
    "notify_of",
    "outputs_of",
    "placement_of",
    "program_of",
    "room_of",
]

_Words = list[str] | None
_Text = str | None

_SITE = "site="

Argv = Annotated[_Words, typer.Argument(metavar="[-- PROGRAM ARGS...]", help="What to run.", show_default=False)]
File = Annotated[
    _Text,
    typer.Option(
        "--file",
        "-f",
        help="YAML or JSON: a spec, several between `---`, or `jobs:`, all let in or none; `-` is standard input.",
    ),
]
Name = Annotated[_Text, typer.Option("--name", "-n", help="A name to find it by.")]
UniqueName = Annotated[bool, typer.Option("--unique-name", help="No other job of yours may claim the name.")]
Project = Annotated[_Text, typer.Option("--project", "-p", help="Whom to bill.")]
Cpus = Annotated[float | None, typer.Option("--cpus", help="Cores.")]
Memory = Annotated[_Text, typer.Option("--memory", help="For example `512MiB`.")]
Gpus = Annotated[int | None, typer.Option("--gpus", help="GPUs.")]
GpuModel = Annotated[_Text, typer.Option("--gpu-model", help="For example `a100`.")]
Walltime = Annotated[_Text, typer.Option("--walltime", help="The longest it may run: `90s`, `1h30m`.")]
App = Annotated[_Text, typer.Option("--app", help="`APP/VERSION/ENTRYPOINT`, of those that `shunter apps` lists.")]
_INPUT = (
    "A file of yours to bring: `SOURCE[:TARGET]`; a whole folder where SOURCE ends with `/`. With `--app`: "
    "`ARGUMENT=FOLDER`; several folders of one argument are laid over each other."
)
Inputs = Annotated[_Words, typer.Option("--input", "-i", help=_INPUT)]
_OUTPUT = "A path or glob to bring home: `PATH[:FOLDER]`, into a folder of yours. With `--app`: `ARGUMENT=FOLDER`."
Outputs = Annotated[_Words, typer.Option("--output", "-o", help=_OUTPUT)]
OptionalOutputs = Annotated[_Words, typer.Option("--optional-output", help="The same, but it may be absent.")]
Env = Annotated[_Words, typer.Option("--env", "-e", help="`NAME=VALUE`.")]
Labels = Annotated[_Words, typer.Option("--label", "-l", help="`name=value`, to filter by.")]
Retries = Annotated[int | None, typer.Option("--retries", help="How many more attempts when one fails.")]
Image = Annotated[_Text, typer.Option("--image", help="A container image, where the backend runs them.")]
Backend = Annotated[_Text, typer.Option("--backend", help="A cluster by name; else Shunter chooses.")]
Backends = Annotated[
    _Words, typer.Option("--backend", help="A cluster by name; several: the best liked first. Else Shunter chooses.")
]
Needs = Annotated[
    _Words, typer.Option("--need", help="Only clusters that are so: `site=NAME`, or `LABEL=VALUE`; may be repeated.")
]
Hold = Annotated[bool, typer.Option("--hold", help="Wait for `shunter release` after acceptance.")]
Priority = Annotated[int | None, typer.Option("--priority", help="-100 to 100; larger goes first.")]
StartAt = Annotated[_Text, typer.Option("--start-at", help="Not before: `+2h`, `18:00`, `2030-01-31T18:00`.")]
After = Annotated[_Words, typer.Option("--after", help="When it has ended: `JOB[:success|failure|any][+DELAY]`.")]
Callback = Annotated[_Text, typer.Option("--callback", help="A URL to be told of its moves.")]
CallbackSecret = Annotated[
    Path | None, typer.Option("--callback-secret-file", help="A file with the secret that signs what is sent.")
]
MailOn = Annotated[
    _Words,
    typer.Option("--mail", help="Mail you when it is `started`, `held`, `ended`, `succeeded`, `failed`, `canceled`."),
]
MailTo = Annotated[_Words, typer.Option("--mail-to", help="Mail there instead; the site must allow the address.")]
Array = Annotated[_Text, typer.Option("--array", help="Run it many times: `COUNT`, or `FIRST-LAST`.")]
ItemsFrom = Annotated[
    _Text, typer.Option("--items-from", help="Run it for each line of a file; `-` is standard input.")
]
MaxRunning = Annotated[int | None, typer.Option("--max-running", help="How many tasks may run at once.")]
Key = Annotated[_Text, typer.Option("--idempotency-key", help="The same key twice makes one job.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait for the end; exit 1 if it does not succeed.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say where it would go, and why not elsewhere; nothing is kept.")
]
Follow = Annotated[bool, typer.Option("--follow", help="Wait for the end and show what it prints.")]


def given(**values: Any) -> dict[str, Any]:
    """Return what was really given; the defaults are the server's business."""
    return {name: value for name, value in values.items() if not _is_nothing(value)}


def _is_nothing(value: object) -> bool:
    """Say whether an option was left out; a zero was not."""
    return value is None or value is False or value in ([], {})


def room_of(*, gpus: int | None, gpu_model: str | None, **room: Any) -> dict[str, Any]:
    """Return the resources that the options ask for."""
    return given(**room, gpus=given(count=gpus, model=gpu_model))


def placement_of(backends: _Words, needs: _Words = None) -> dict[str, Any]:
    """Return where the options have it run: on one backend, or on the first of several that has room."""
    from .specs import pairs

    several = backends or []
    named = {"backends": several} if len(several) > 1 else given(backend=next(iter(several), None))
    sites = [word.removeprefix(_SITE) for word in needs or () if word.startswith(_SITE)]
    labels = pairs([word for word in needs or () if not word.startswith(_SITE)], "need")
    return {**named, **given(sites=sites, labels=labels)}


def labels_of(labels: Sequence[str] | None) -> dict[str, str]:
    """Return the labels that the options give."""
    from .specs import pairs

    return pairs(labels or (), "label")


def program_of(
    argv: _Words, app: str | None, *, inputs: _Words, outputs: _Words, optional: _Words, env: _Words
) -> dict[str, Any]:
    """Return what runs, what it is given and what it leaves behind: a program, or an application by its name."""
    from .calling import call_of
    from .specs import pairs, read_inputs

    call: dict[str, Any] = {}
    if app is not None:
        call, inputs, outputs = call_of(app, inputs or [], outputs or [], env or [])
        env = None
    files = given(inputs=read_inputs(inputs or []), outputs=outputs_of(outputs, optional))
    return {**given(argv=argv, application=call, env=pairs(env or [], "env")), **files}


def outputs_of(required: Sequence[str] | None, optional: Sequence[str] | None) -> list[dict[str, Any]]:
    """Return outputs as a spec names them."""
    return [_output(path) for path in required or ()] + [
        {**_output(path), "required": False} for path in optional or ()
    ]


def _output(text: str) -> dict[str, Any]:
    path, colon, folder = text.partition(":")
    return {"path": path, "to": folder} if colon else {"path": path}


def callback_of(url: str | None, secret: Path | None) -> dict[str, Any]:
    """Return the callback that the options ask for, `{}` if they ask for none."""
    from .subscriptions import read_secret

    return given(url=url, secret=read_secret(secret))


def notify_of(on: Sequence[str] | None, to: Sequence[str] | None) -> dict[str, Any]:
    """Return the mail that the options ask for, `{}` if they ask for none."""
    return given(on=list(on or ()), to=list(to or ()))


def array_of(array: str | None, items_from: str | None, max_running: int | None) -> dict[str, Any]:
    """Return the array that the options ask for, `{}` if they ask for none."""
    if array is None and items_from is None:
        return given(max_running=max_running)
    if array is not None and items_from is not None:
        raise typer.BadParameter("give either --array or --items-from")
    return {
        **(_items(items_from) if items_from is not None else _numbers(array or "")),
        **given(max_running=max_running),
    }


def _items(file: str) -> dict[str, Any]:
    text = sys.stdin.read() if file == "-" else Path(file).read_text()
    items = text.splitlines()
    if not items:
        raise typer.BadParameter(f"{file} holds no line")
    return {"items": items}


def _numbers(text: str) -> dict[str, Any]:
    from contracts.errors import InvalidError
    from contracts.ranges import Ranges

    if text.isdigit():
        return {"count": int(text)}
    try:
        found = Ranges.parse(text)
    except ValueError as error:
        raise InvalidError.of("array", str(error)) from error
    whole = found.runs == ((0, found.highest),)
    return {"count": found.highest + 1} if whole else {"count": found.highest + 1, "only": str(found)}
