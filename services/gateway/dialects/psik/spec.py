"""A psik job as one of ours, and back."""

from __future__ import annotations

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from contracts.errors import InvalidError
from contracts.spec import Input, JobSpec, Output, Placement

from .backends import Target
from .models import JobSpec1
from .names import BACKEND, CUT, JOB, NAME, RUN, SEALED
from .resources import resources_of
from .sealing import Seal

__all__ = ["again", "native_spec", "script_of"]

_WORK = [Output(path="*", required=False)]
"""Everything in the working folder goes home, as it lies there."""

_PRELUDE = "base=${PWD%/*}; "
"""The working folder is `$base/work`. On the script's own first line, so that the numbers of lines stay true."""

_BASE = ".."
"""What `$base` is to programs that no shell of ours begins."""

_FIELDS = {"env": "environment", "labels": "name", "project": "backend"}
"""Our fields by psik's names."""

_MOST_OF_NAME = 128


def native_spec(spec: JobSpec1, *, jobid: str, target: Target, seal: Seal, hold: bool) -> JobSpec:
    """Return the first run of a job; raises what is wrong with it by psik's names."""
    if spec.directory is not None:
        raise InvalidError("Error creating job: jobs of this site run in folders of their own; leave out `directory`")
    resources, cut = resources_of(spec.resources, target.views)
    mpirun = target.settings.mpirun
    own = {"nodes": str(resources.nodes), "mpirun": mpirun, "jobndx": "1", "jobid": jobid, "base": _BASE}
    try:
        return JobSpec.model_validate(
            {
                "name": _name(spec.name),
                "project": spec.project,
                "script": spec.script if spec.script.startswith("#!") else _PRELUDE + spec.script,
                "env": spec.environment | own,
                "inherit_env": spec.inherit_environment,
                "outputs": _WORK,
                "resources": resources,
                "placement": Placement(backend=target.settings.backend),
                "hold": hold,
                "labels": _labels(spec, jobid, target, seal, cut),
                "callback": callback_of(spec),
            }
        )
    except ValidationError as error:
        raise RequestValidationError([_by_psik_name(found) for found in error.errors()]) from error


def callback_of(spec: JobSpec1) -> dict[str, object] | None:
    """Return what our JobSpec is told of the job's callback."""
    if spec.callback is None:
        return None
    secret = spec.cb_secret.get_secret_value() if spec.cb_secret else None
    return {"url": spec.callback, "secret": secret, "format": "psik"}


def _labels(spec: JobSpec1, jobid: str, target: Target, seal: Seal, cut: str) -> dict[str, str]:
    labels = {JOB: jobid, RUN: "1", BACKEND: target.name}
    if spec.name != _name(spec.name):
        labels[NAME] = spec.name or ""
    if cut:
        labels[CUT] = cut
    if spec.client_secret:
        labels[SEALED] = seal.close(spec.client_secret.get_secret_value(), jobid)
    return labels


def _name(name: str | None) -> str | None:
    """Return a name of ours that is as close as can be."""
    return name.replace("/", "_")[:_MOST_OF_NAME] if name else None


def _by_psik_name(found: ErrorDetails) -> dict[str, object]:
    place = [_FIELDS.get(part, part) if isinstance(part, str) else part for part in found["loc"][:1]]
    return {**found, "loc": ("body", *place, *found["loc"][1:])}


def again(spec: JobSpec, ndx: int, inputs: list[Input], *, of: str) -> JobSpec:
    """Return a further run of a job, which begins with what the one before, *of*, left behind.

    Its callback is signed as that one's: the record says everything but the secret.
    """
    callback = spec.callback and spec.callback.model_copy(update={"secret_of": of})
    return spec.model_copy(
        update={
            "env": {**spec.env, "jobndx": str(ndx)},
            "labels": {**spec.labels, RUN: str(ndx)},
            "hold": False,
            "callback": callback,
            "inputs": inputs,
            "start_at": None,
            "after": [],
        }
    )


def script_of(spec: JobSpec) -> str:
    """Return the script as the client sent it."""
    return (spec.script or "").removeprefix(_PRELUDE)
