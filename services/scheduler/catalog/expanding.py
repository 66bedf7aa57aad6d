"""Makes a job of an application's name: its command, folders and hardware, as the packager wrote them."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from pydantic import ByteSize, ValidationError

from contracts.applications import FILES, ApplicationCall
from contracts.catalog import Catalog, Entrypoint
from contracts.errors import FieldError, InvalidError
from contracts.resources import Gpus, Resources
from contracts.spec import Input, JobSpec, Output
from services.chassis.errors import invalid_from

__all__ = ["Expanded", "expand"]

_MIB = 2**20
_BROUGHT = ("argv", "script", "image", "env", "array")
"""Fields of a job that an application leaves no room for."""

_COMMON = frozenset({"output", "log", "artifact"})
"""What callers may name a folder for although this entrypoint leaves nothing of the kind behind."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Expanded:
    """A job that can run, and where its inputs came from."""

    spec: JobSpec
    fields: tuple[str, ...]
    """For each input, the field by which the caller named it."""

    def in_callers_words(self, refusal: InvalidError) -> InvalidError:
        """Return a refusal of inputs with the names of the caller's own fields."""
        names = {f"inputs.{number}.source": field for number, field in enumerate(self.fields)}
        errors = [FieldError(field=names.get(one.field, one.field), message=one.message) for one in refusal.errors]
        if errors == refusal.errors:
            return refusal
        return InvalidError("; ".join(f"{one.field}: {one.message}" for one in errors[:3]), errors=errors)


def expand(spec: JobSpec, catalog: Catalog) -> Expanded:
    """Return the job that an application's name stands for; raises `InvalidError`, by the caller's field."""
    call = spec.application
    assert call is not None
    for field in _BROUGHT:
        if getattr(spec, field):
            raise InvalidError.of(
                field, "the application brings its own: leave it out, or submit without an application"
            )
    entrypoint = _find(catalog, call)
    fields, inputs = _inputs(call, entrypoint)
    _check_env(call, entrypoint)
    update = {
        "script": _script(entrypoint),
        "image": entrypoint.handler.image_url,
        "env": call.env,
        "inputs": [*inputs, *spec.inputs],
        "outputs": [*_outputs(call, entrypoint), *spec.outputs],
        "resources": _resources(spec.resources, call, entrypoint),
    }
    own = [f"inputs.{number}.source" for number in range(len(spec.inputs))]
    return Expanded(_checked(spec, update), (*fields, *own))


def _find(catalog: Catalog, call: ApplicationCall) -> Entrypoint:
    versions = _pick(catalog.applications, call.application, "application.application")
    entrypoints = _pick(versions, call.version, "application.version")
    return _pick(entrypoints, call.entrypoint, "application.entrypoint")


def _pick(choices: Mapping[str, _T], name: str, field: str) -> _T:
    if name not in choices:
        raise InvalidError.of(field, f"there is no {name!r}; {_there_are(choices)}")
    return choices[name]


def _there_are(names: Iterable[str]) -> str:
    return f"there are: {', '.join(names)}" if names else "there are none"


def _inputs(call: ApplicationCall, entrypoint: Entrypoint) -> tuple[list[str], list[Input]]:
    down = entrypoint.handler.files_down
    fields: list[str] = []
    inputs: list[Input] = []
    for argument, folders in call.inputs.items():
        target = _pick(down, argument, f"application.inputs.{argument}")
        for number, folder in enumerate(folders):
            fields.append(f"application.inputs.{argument}.{number}")
            inputs.append(Input(source=folder, path=target, folder=True))
    return fields, inputs


def _outputs(call: ApplicationCall, entrypoint: Entrypoint) -> list[Output]:
    up = entrypoint.handler.files_up
    for argument in call.outputs:
        if argument not in _COMMON:
            _pick(up, argument, f"application.outputs.{argument}")
    return [Output(path=path, required=False, to=call.outputs.get(argument)) for argument, path in up.items()]


def _check_env(call: ApplicationCall, entrypoint: Entrypoint) -> None:
    for name in call.env:
        if name not in entrypoint.app.env:
            allowed = _there_are(entrypoint.app.env)
            raise InvalidError.of(f"application.env.{name}", f"the application takes no such variable; {allowed}")


def _script(entrypoint: Entrypoint) -> str:
    """Return the command; the folders of its arguments are there also when nothing is brought to them."""
    places = sorted({f"{FILES}/{path}" for path in entrypoint.handler.files_down.values()})
    folders = f"mkdir -p -- {shlex.join(places)}\n" if places else ""
    return folders + " ".join(entrypoint.app.cmd)


def _resources(wanted: Resources, call: ApplicationCall, entrypoint: Entrypoint) -> Resources:
    """Put the application's figures where the caller asked for nothing; nobody may ask for more time."""
    aws, asked = entrypoint.aws_resources, call.asked or []
    hardware = aws.hardware if aws else None
    given: dict[str, Any] = {}
    if hardware and hardware.VCPU is not None:
        given["cpus"] = float(hardware.VCPU)
    if hardware and hardware.MEMORY is not None:
        given["memory"] = ByteSize(hardware.MEMORY * _MIB)
    if hardware and hardware.GPU is not None:
        given["gpus"] = Gpus(count=hardware.GPU)
    if aws and aws.timeout is not None:
        given["walltime"] = timedelta(seconds=aws.timeout)
        if "walltime" in asked and wanted.walltime > given["walltime"]:
            raise InvalidError.of("resources.walltime", f"the application may run {aws.timeout} s at most")
    return wanted.model_copy(update={name: value for name, value in given.items() if name not in asked})


def _checked(spec: JobSpec, update: dict[str, Any]) -> JobSpec:
    try:
        # Its parts were checked when they were made; together they are checked here.
        return JobSpec.model_validate({**spec.__dict__, **update})
    except ValidationError as error:
        raise invalid_from(error) from error
