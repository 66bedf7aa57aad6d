"""`submit`: from a file or from the command line."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import typer

from . import wishes
from .batches import submit_batch
from .outcomes import ExitCode, leave
from .printing import emit_line, note
from .selection import find_job_id
from .session import AsJson, session_of
from .wishes import array_of, callback_of, given, labels_of, notify_of, placement_of, program_of, room_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from contracts.batches import BatchSpec
    from contracts.documents import Document
    from contracts.spec import JobSpec
    from shunter.client import Client
    from shunter.models import Submission

__all__ = ["submit"]


def submit(
    ctx: typer.Context,
    argv: wishes.Argv = None,
    file: wishes.File = None,
    app: wishes.App = None,
    name: wishes.Name = None,
    unique_name: wishes.UniqueName = False,
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
    backend: wishes.Backends = None,
    need: wishes.Needs = None,
    array: wishes.Array = None,
    items_from: wishes.ItemsFrom = None,
    max_running: wishes.MaxRunning = None,
    hold: wishes.Hold = False,
    priority: wishes.Priority = None,
    start_at: wishes.StartAt = None,
    after: wishes.After = None,
    callback: wishes.Callback = None,
    secret: wishes.CallbackSecret = None,
    mail: wishes.MailOn = None,
    mail_to: wishes.MailTo = None,
    key: wishes.Key = None,
    wait: wishes.Wait = False,
    follow: wishes.Follow = False,
    dry_run: wishes.DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Submit a job, or several.

    Example: `shunter submit --cpus 2 --input data/x.npz --output model.joblib --follow -- python train.py`
    """
    what = program_of(argv, app, inputs=inputs, outputs=outputs, optional=optional_outputs, env=env)
    what |= given(name=name, unique_name=unique_name, project=project, labels=labels_of(label), image=image, hold=hold)
    room = room_of(cpus=cpus, memory=memory, walltime=walltime, gpus=gpus, gpu_model=gpu_model)
    where = given(resources=room, placement=placement_of(backend, need), start_at=_moment(start_at))
    where |= given(array=array_of(array, items_from, max_running), retries=given(max=retries), priority=priority)
    told = given(callback=callback_of(callback, secret), notify=notify_of(mail, mail_to), after=after)
    raise leave(_submit(ctx, file, {**what, **where, **told}, _How(key, dry_run, wait or follow, follow, as_json)))


def _submit(ctx: typer.Context, file: str | None, options: dict[str, Any], how: _How) -> ExitCode:
    with session_of(ctx).client() as client:
        if "after" in options:
            options["after"] = _after(client, options["after"])
        batch, specs = _read(file, options)
        if how.dry_run:
            return _show_dry(client, batch, specs, as_json=how.as_json)
        return _send_batch(client, batch, how) if batch else _send_each(client, specs, how)


@dataclass(frozen=True)
class _How:
    """How something is submitted."""

    key: str | None
    dry_run: bool
    wait: bool
    follow: bool
    as_json: bool


def _send_batch(client: Client, batch: BatchSpec, how: _How) -> ExitCode:
    return submit_batch(client, batch, key=how.key, wait=how.wait, as_json=how.as_json)


def _send_each(client: Client, specs: Sequence[JobSpec], how: _How) -> ExitCode:
    accepted = []
    for place, spec in enumerate(specs):
        accepted.append(client.submit(spec, key=_key(how.key, place)))
        _print_accepted(accepted[-1], as_json=how.as_json, ends_follow=how.wait)
    return _see_through(client, accepted, follow=how.follow, as_json=how.as_json) if how.wait else ExitCode.OK


def _read(file: str | None, options: dict[str, Any]) -> tuple[BatchSpec | None, list[JobSpec]]:
    """Return the batch, or the single jobs, that are meant."""
    from .specs import read_file, to_batch

    if file is None and not {"argv", "application"} & options.keys():
        raise typer.BadParameter("say what to run: -f FILE, --app APP, or a program behind --")
    documents = read_file(file) if file else []
    batch = to_batch(documents, options)
    return batch, [] if batch else _specs(documents, options)


def _specs(documents: Sequence[Document], options: dict[str, Any]) -> list[JobSpec]:
    """Check all of them before the first is sent."""
    from .specs import merge, to_spec

    if not documents:
        return [to_spec(options)]
    return [to_spec(merge(document.value, options), document) for document in documents]


def _show_dry(client: Client, batch: BatchSpec | None, specs: list[JobSpec], *, as_json: bool) -> ExitCode:
    """Say where single jobs would go; of a batch, whose jobs wait for each other, what would be sent."""
    from contracts.secrets import without_secrets

    if batch is None:
        from .placing import show_places

        return show_places(client, specs, as_json=as_json)
    emit_line(without_secrets(batch).model_dump(mode="json", exclude_unset=True))
    if not as_json:
        note("Nothing is wrong with it as far as can be seen from here; nothing was sent.")
    return ExitCode.OK


def _moment(text: str | None) -> str | None:
    from .moments import read_moment

    return read_moment(text, datetime.now().astimezone()) if text else None


def _after(client: Client, words: list[str] | None) -> list[dict[str, Any]]:
    from .moments import read_after

    return read_after(words or [], lambda job: find_job_id(client, job))


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
