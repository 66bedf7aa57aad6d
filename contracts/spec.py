"""What to run."""

from __future__ import annotations

import re
from datetime import timedelta
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Annotated, Self

from pydantic import AfterValidator, Field, StringConstraints, field_validator, model_validator

from .arrays import ArraySpec, check_places, fill, has_place
from .hooks import Callback
from .ids import WorkloadId
from .mail import Notify
from .model import Model, Timestamp
from .resources import Resources, Span
from .states import WorkloadState
from .words import plain_line, refuse_flag, utf8_size

__all__ = [
    "After",
    "FilePath",
    "Input",
    "JobSpec",
    "Outcome",
    "Output",
    "Placement",
    "ProjectName",
    "Retries",
    "clean_path",
]

MAX_SCRIPT = 1_000_000
"""Characters of a script; more than that belongs into an input file."""

_MOST_OF_ONE = 131_071
"""Bytes of one argument or variable; Linux starts no program with a longer one."""

_MOST_OF_ALL = 1_048_576
"""Bytes of all arguments and variables together; what is larger belongs into an input file."""

_MOST_OF_NAME = 255
"""Bytes of one name in a path, or of a variable's; file systems take no more."""

_MOST_DEEP = 4
"""How often `**` may stand in one pattern; each multiplies the work of finding the files."""

_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
_CREDENTIALS = re.compile(r"^[^/@]*:[^/@]*@|://")


def clean_path(value: str) -> str:
    """Return *value* as a normalised relative path, or say why it is none."""
    plain_line(value)
    if value.startswith("/") or "\\" in value:
        raise ValueError("the path must be relative, with / between its parts")
    parts = [part for part in value.split("/") if part not in {"", "."}]
    if ".." in parts:
        raise ValueError("'..' is not allowed in a path")
    if not parts:
        raise ValueError("the path is empty")
    if len(value) > _MOST_OF_NAME // 4 and any(utf8_size(part) > _MOST_OF_NAME for part in parts):
        raise ValueError(f"a name in a path must not be longer than {_MOST_OF_NAME} bytes")
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

    @field_validator("path")
    @classmethod
    def _check_pattern(cls, path: str) -> str:
        parts = path.split("/")
        if any("**" in part and part != "**" for part in parts):
            raise ValueError("** must stand alone between two /")
        if parts.count("**") > _MOST_DEEP:
            raise ValueError(f"** must not stand more than {_MOST_DEEP} times in a pattern")
        return path


class Retries(Model):
    """What to do when an attempt fails."""

    max: int = Field(default=0, ge=0, le=100)
    """How many more attempts after the first."""
    backoff: Annotated[Span, Field(ge=timedelta(0), le=timedelta(days=1))] = timedelta(seconds=5)
    """The pause before the second attempt; it doubles with each further one, up to an hour."""

    _no_flags = field_validator("*", mode="before")(refuse_flag)


class Placement(Model):
    """Where it may run."""

    backend: str | None = Field(default=None, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """A backend by name; none lets Shunter choose."""


class Outcome(StrEnum):
    """How a workload has to end for those that wait for it to go on."""

    SUCCESS = "success"
    FAILURE = "failure"
    """It failed, was canceled or got lost."""
    ANY = "any"

    def is_met(self, end: WorkloadState) -> bool:
        """Say whether a workload that ended as *end* lets others go on."""
        return self is Outcome.ANY or (self is Outcome.SUCCESS) == (end is WorkloadState.SUCCEEDED)


class After(Model):
    """Another workload whose end is waited for; if it ends the other way, the waiting one is canceled."""

    job: WorkloadId
    on: Outcome = Outcome.SUCCESS
    delay: Annotated[Span, Field(ge=timedelta(0), le=timedelta(days=365))] = timedelta(0)
    """The pause between its end and the start."""


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
    inherit_env: bool = True
    """Whether the program sees what its node gives everybody, such as `HOME`; else only `env` and what is Shunter's."""
    inputs: list[Input] = Field(default=[], max_length=10_000)
    outputs: list[Output] = Field(default=[], max_length=1000)
    resources: Resources = Resources()
    placement: Placement = Placement()
    retries: Retries = Retries()
    array: ArraySpec | None = None
    """Run it many times, once for each task; `{index}` and `{item}` in texts and paths stand for the task's own."""
    hold: bool = False
    """Whether to wait for a `start` after acceptance."""
    priority: int = Field(default=0, ge=-100, le=100)
    """Larger goes first among all that wait for a backend."""
    start_at: Timestamp | None = Field(default=None, examples=["2030-01-31T18:00:00Z"])
    """Not before this moment; with a time zone."""
    after: list[After] = Field(default=[], max_length=1000)
    """What has to end before."""
    callback: Callback | None = None
    """Whom to tell of its moves."""
    notify: Notify | None = None
    """Whom to tell of it by mail."""
    labels: dict[
        Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$")],
        Annotated[str, StringConstraints(max_length=256)],
    ] = Field(default={}, max_length=64)

    @field_validator("env")
    @classmethod
    def _check_env(cls, env: dict[str, str]) -> dict[str, str]:
        for name, value in env.items():
            if not _ENV_NAME.fullmatch(name):
                raise ValueError(f"{name[:64]!r} is no name for an environment variable")
            if "\x00" in value:
                raise ValueError(f"the value of {name} holds a NUL character")
            if name.startswith("SHUNTER_"):
                raise ValueError(f"{name}: names that start with SHUNTER_ are Shunter's own")
            if utf8_size(value) + len(name) >= _MOST_OF_ONE:
                raise ValueError(f"{name} and its value must not be longer than {_MOST_OF_ONE} bytes")
        return env

    @field_validator("argv")
    @classmethod
    def _check_argv(cls, argv: list[str] | None) -> list[str] | None:
        if argv is not None and (not argv[0] or any("\x00" in part for part in argv)):
            raise ValueError("the program must not be empty and no argument may hold a NUL character")
        if argv is not None and any(utf8_size(part) > _MOST_OF_ONE for part in argv):
            raise ValueError(f"no argument may be longer than {_MOST_OF_ONE} bytes")
        return argv

    @field_validator("name", "image")
    @classmethod
    def _check_line(cls, value: str | None) -> str | None:
        return None if value is None else plain_line(value)

    @field_validator("image")
    @classmethod
    def _check_image(cls, image: str | None) -> str | None:
        if image is not None and _CREDENTIALS.search(image):
            raise ValueError("must be the name of an image, without a scheme or credentials")
        return image

    @field_validator("labels")
    @classmethod
    def _check_labels(cls, labels: dict[str, str]) -> dict[str, str]:
        for value in labels.values():
            plain_line(value)
        return labels

    @field_validator("script")
    @classmethod
    def _check_script(cls, script: str | None) -> str | None:
        if script is not None and "\x00" in script:
            raise ValueError("a script must not hold a NUL character")
        return script

    @field_validator("after")
    @classmethod
    def _check_after(cls, after: list[After]) -> list[After]:
        if len({item.job for item in after}) != len(after):
            raise ValueError("a job is named twice")
        return after

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if (self.argv is None) == (self.script is None):
            raise ValueError("give either argv or script")
        targets = [item.target for item in self.inputs]
        if len(set(targets)) != len(targets):
            raise ValueError("two inputs have the same place in the working folder")
        _refuse_nested(set(targets))
        if _command_size(self) > _MOST_OF_ALL:
            raise ValueError(f"argv and env must not be larger than {_MOST_OF_ALL} bytes together")
        if self.array is not None:
            _check_array(self, self.array)
        return self


def _refuse_nested(targets: set[str]) -> None:
    """Refuse a place that would have to be a file and a folder at once."""
    for target in targets:
        end = target.find("/")
        while end > 0:
            if target[:end] in targets:
                raise ValueError(f"the input {target[:end]!r} cannot be a file and the folder of another one")
            end = target.find("/", end + 1)


def _command_size(spec: JobSpec) -> int:
    """Return the bytes of arguments and variables, each with its place in the list of them."""
    variables = sum(utf8_size(name) + utf8_size(value) + 10 for name, value in spec.env.items())
    return variables + sum(utf8_size(part) + 9 for part in spec.argv or ())


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
