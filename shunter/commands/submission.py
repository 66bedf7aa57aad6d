"""`submit`: from a file or from the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from . import wishes
from .outcomes import ExitCode, leave
from .printing import emit_line, note
from .session import AsJson, session_of
from .wishes import array_of, given, outputs_of

if TYPE_CHECKING:
    from contracts.spec import JobSpec
    from shunter.client import Client
    from shunter.models import Submission

__all__ = ["submit"]


def submit(
    ctx: typer.Context,
    argv: wishes.Argv = None,
    file: wishes.File = None,
    name: wishes.Name = None,
    project: wishes.Project = None,
    cpus: wishes.Cpus = None,
    memory: wishes.Memory = None,
    gpus: wishes.Gpus = None,
    gpu_model: wishes.GpuModel = None,
    walltime: wishes.Walltime = None,
    inputs: wishes.Inputs = None,
    outputs: wishes.Outputs = None,
    optional_outputs: wishes.OptionalOutputs = None,
    env: wishes.Env = None,
    label: wishes.Labels = None,
    retries: wishes.Retries = None,
    image: wishes.Image = None,
    backend: wishes.Backend = None,
    array: wishes.Array = None,
    items_from: wishes.ItemsFrom = None,
    max_running: wishes.MaxRunning = None,
    hold: wishes.Hold = False,
    key: wishes.Key = None,
    wait: wishes.Wait = False,
    follow: wishes.Follow = False,
    as_json: AsJson = False,
) -> None:
    """Submit a job, or several.

    Example: `shunter submit --cpus 2 --input data/x.npz --output model.joblib --follow -- python train.py`

    Example: `shunter submit -f spec.yaml`, with one spec or several between `---`. Options override the file.
    With `--json` there is one record per line.
    """
    from .specs import pairs, read_inputs

    room = given(cpus=cpus, memory=memory, walltime=walltime, gpus=given(count=gpus, model=gpu_model))
    files = given(inputs=read_inputs(inputs or []), outputs=outputs_of(outputs, optional_outputs))
    words = given(argv=argv, name=name, project=project, image=image, hold=hold, resources=room)
    many = array_of(array, items_from, max_running)
    where = given(placement=given(backend=backend), retries=given(max=retries), array=many)
    known = given(env=pairs(env or [], "env"), labels=pairs(label or [], "labels"))
    specs = _specs(file, {**words, **files, **where, **known})
    with session_of(ctx).client() as client:
        accepted = _send(client, specs, key, as_json=as_json, ends_follow=wait or follow)
        if wait or follow:
            raise leave(_see_through(client, accepted, follow=follow, as_json=as_json))


def _send(
    client: Client, specs: list[JobSpec], key: str | None, *, as_json: bool, ends_follow: bool
) -> list[Submission]:
    accepted = []
    for place, spec in enumerate(specs):
        accepted.append(client.submit(spec, key=_key(key, place)))
        _print_accepted(accepted[-1], as_json=as_json, ends_follow=ends_follow)
    return accepted


def _specs(file: str | None, options: dict[str, Any]) -> list[JobSpec]:
    """Check all of them before the first is sent."""
    from .specs import merge, read_documents, to_spec

    if file is None and "argv" not in options:
        raise typer.BadParameter("say what to run: -f FILE, or a program behind --")
    return [to_spec(merge(document, options)) for document in (read_documents(file) if file else [{}])]


def _key(key: str | None, place: int) -> str | None:
    return f"{key}-{place}" if key and place else key


def _print_accepted(found: Submission, *, as_json: bool, ends_follow: bool) -> None:
    """Say it at once: if the next one is refused, this one runs all the same."""
    if as_json:
        if not ends_follow:
            emit_line(found.job or {"id": found.id, "status": "pending"})
    elif found.job:
        typer.echo(f"{found.id} {'known already, ' if found.repeated else ''}{found.job.state}")
    else:
        typer.echo(f"{found.id} kept")
        note("The scheduler is away. The job is kept and will run when it is back.")


def _see_through(client: Client, accepted: list[Submission], *, follow: bool, as_json: bool) -> ExitCode:
    from .endings import report_end, wait_for_end

    worst = ExitCode.OK
    for found in accepted:
        # An array has no one output to be followed.
        one = found.job is None or found.job.tasks is None
        job = wait_for_end(client, found, follow=follow and one, logs_to_stderr=as_json)
        worst = max(worst, report_end(job, as_json=as_json))
    return worst
