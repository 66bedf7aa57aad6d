"""`apps`: what can be started by its name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from .printing import console, duration, emit, note, size, table
from .session import AsJson, session_of

if TYPE_CHECKING:
    from contracts.catalog import Catalog, Entrypoint

__all__ = ["apps"]

_MIB = 2**20

Only = Annotated[str | None, typer.Argument(metavar="[APP[/VERSION[/ENTRYPOINT]]]", help="Only these.")]


def apps(ctx: typer.Context, only: Only = None, as_json: AsJson = False) -> None:
    """List the applications of the site, what each is given and what it leaves behind.

    Example: `shunter apps`; then `shunter submit --app decode/v0_10_1/train --input data_ids=data/d1`
    """
    with session_of(ctx).client() as client:
        catalog = client.list_applications()
    if as_json:
        emit(catalog)
        return
    from rich.markup import escape

    rows = table("APPLICATION", "INPUTS", "OUTPUTS", "VARIABLES", "CPUS", "MEMORY", "GPUS", "TIME", right=("CPUS",))
    for name, entrypoint in _entries(catalog):
        if only is None or name == only or name.startswith(f"{only}/"):
            rows.add_row(escape(name), *map(escape, _cells(entrypoint)))
    console().print(rows)
    for fault in catalog.faults:
        note(f"The file is broken, and what it said before is offered. Line {fault.line or '?'}: {fault.message}")


def _entries(catalog: Catalog) -> Iterator[tuple[str, Entrypoint]]:
    for application, versions in catalog.applications.items():
        for version, entrypoints in versions.items():
            for name, entrypoint in entrypoints.items():
                yield f"{application}/{version}/{name}", entrypoint


def _cells(entrypoint: Entrypoint) -> Iterator[str]:
    handler, aws = entrypoint.handler, entrypoint.aws_resources
    hardware = aws.hardware if aws else None
    yield ", ".join(handler.files_down) or "-"
    yield ", ".join(handler.files_up) or "-"
    yield ", ".join(entrypoint.app.env) or "-"
    yield str(hardware.VCPU) if hardware and hardware.VCPU is not None else "-"
    yield size(hardware.MEMORY * _MIB) if hardware and hardware.MEMORY is not None else "-"
    yield str(hardware.GPU) if hardware and hardware.GPU is not None else "-"
    yield duration(aws.timeout) if aws and aws.timeout is not None else "-"
