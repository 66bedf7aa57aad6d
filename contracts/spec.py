"""What to run."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Annotated, Self

from pydantic import AfterValidator, Field, StringConstraints, field_validator, model_validator

from .arrays import ArraySpec, check_places, fill, has_place
from .model import Model
from .resources import Resources, Span

__all__ = ["FilePath", "Input", "JobSpec", "Output", "Placement", "ProjectName", "Retries", "clean_path"]

MAX_SCRIPT = 1_000_000
"""Characters of a script; more than that belongs into an input file."""

_ENV_NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def clean_path(value: str) -> str:
    """Return *value* as a normalised relative path, or say why it is none."""
    if _CONTROL.search(value):
        raise ValueError("control characters are not allowed in a path")
    if value.startswith("/") or "\\" in value:
        raise ValueError("the path must be relative, with / between its parts")
    parts = [part for part in value.split("/") if part not in {"", "."}]
    if ".." in parts:
        raise ValueError("'..' is not allowed in a path")
    if not parts:
        raise ValueError("the path is empty")
    return str(PurePosixPath(*parts))


FilePath = Annotated[str, StringConstraints(min_length=1, max_length=1024), AfterValidator(clean_path)]
"""A relative path with `/` between its parts and no way out of its folder."""

ProjectName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class Input(Model):
    """A file of the owner's, brought to the working folder before the start."""

    source: FilePath
    """Where it lies in the owner's files."""
    path: FilePath | None = None
    """Where it is put in the working folder; by default under its own name."""

    @property
    def target(self) -> str:
        """Return the place in the working folder."""
        return self.path or PurePosixPath(self.source).name


class Output(Model):
    """Files of the working folder, brought home after the end."""

    path: FilePath
    """A path or a glob such as `results/**/*.csv`."""
    required: bool = True
    """Whether a workload that ended well but left nothing here has failed."""


class Retries(Model):
    """What to do when an attempt fails."""

    max: int = Field(default=0, ge=0, le=100)
    """How many more attempts after the first."""
    backoff: Annotated[Span, Field(ge=timedelta(0), le=timedelta(days=1))] = timedelta(seconds=5)
    """The pause before the second attempt; it doubles with each further one, up to an hour."""


class Placement(Model):
    """Where it may run."""

    backend: str | None = Field(default=None, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """A backend by name; none lets Shunter choose."""


class JobSpec(Model):
    """A job: something that runs to its end."""

    name: str | None = Field(default=None, max_length=128, pattern=r"^[^\x00-\x1f\x7f/]+$", examples=["train-digits"])
    project: ProjectName | None = None
    """Whom to bill; by default the caller's first project."""
    argv: list[Annotated[str, StringConstraints(max_length=131_072)]] | None = Field(
        default=None, min_length=1, max_length=10_000, examples=[["python", "train.py"]]
    )
    """The program and its arguments. Give this or `script`."""
    script: str | None = Field(default=None, min_length=1, max_length=MAX_SCRIPT)
    """A script; without a `#!` line it is run by `/bin/sh`."""
    image: str | None = Field(default=None, max_length=512)
    """A container image, for backends that run them."""
    env: dict[str, Annotated[str, StringConstraints(max_length=131_072)]] = Field(default={}, max_length=1000)
    inputs: list[Input] = Field(default=[], max_length=10_000)
    outputs: list[Output] = Field(default=[], max_length=1000)
    resources: Resources = Resources()
    placement: Placement = Placement()
    retries: Retries = Retries()
    array: ArraySpec | None = None
    """Run it many times, once for each task; `{index}` and `{item}` in texts and paths stand for the task's own."""
    hold: bool = False
    """Whether to wait for a `start` after acceptance."""
    labels: dict[
        Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$")],
        Annotated[str, StringConstraints(max_length=256)],
    ] = Field(default={}, max_length=64)

    @field_validator("env")
    @classmethod
    def _check_env(cls, env: dict[str, str]) -> dict[str, str]:
        for name, value in env.items():
            if not _ENV_NAME.match(name):
                raise ValueError(f"{name!r} is no name for an environment variable")
            if "\x00" in value:
                raise ValueError(f"the value of {name} holds a NUL character")
            if name.startswith("SHUNTER_"):
                raise ValueError(f"{name}: names that start with SHUNTER_ are Shunter's own")
        return env

    @field_validator("argv")
    @classmethod
    def _check_argv(cls, argv: list[str] | None) -> list[str] | None:
        if argv is not None and (not argv[0] or any("\x00" in part for part in argv)):
            raise ValueError("the program must not be empty and no argument may hold a NUL character")
        return argv

    @field_validator("script")
    @classmethod
    def _check_script(cls, script: str | None) -> str | None:
        if script is not None and "\x00" in script:
            raise ValueError("a script must not hold a NUL character")
        return script

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if (self.argv is None) == (self.script is None):
            raise ValueError("give either argv or script")
        targets = [item.target for item in self.inputs]
        if len(set(targets)) != len(targets):
            raise ValueError("two inputs have the same place in the working folder")
        if self.array is not None:
            _check_array(self, self.array)
        return self


def _check_array(spec: JobSpec, array: ArraySpec) -> None:
    """Refuse what would go wrong in a task before any has begun."""
    texts = [(f"argv.{place}", text) for place, text in enumerate(spec.argv or ())]
    texts += [(f"env.{name}", value) for name, value in spec.env.items()]
    paths = [(f"inputs.{place}.source", item.source) for place, item in enumerate(spec.inputs)]
    paths += [(f"inputs.{place}.path", item.target) for place, item in enumerate(spec.inputs)]
    outputs = [(f"outputs.{place}.path", item.path) for place, item in enumerate(spec.outputs)]
    check_places(array, texts, [*paths, *outputs])
    for field, path in outputs:
        if not has_place(path):
            raise ValueError(f"{field}: must hold {{index}} or {{item}}, or the tasks would overwrite each other's")
    for field, path in [*paths, *outputs]:
        for number, item in enumerate(array.items or ()) if "{item}" in path else ():
            try:
                clean_path(fill(path, number, item))
            except ValueError as error:
                raise ValueError(f"{field}: with item {number}: {error}") from error
