"""What to run."""

from __future__ import annotations

import re
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from .applications import ApplicationCall
from .arrays import ArraySpec, check_places, fill, has_place
from .environment import MOST_OF_ONE, check_env
from .hooks import Callback
from .ids import WorkloadId
from .mail import Notify
from .model import Model, Timestamp
from .paths import FilePath, clean_path
from .resources import Resources, Span
from .staging import Input, Output, check_targets
from .states import WorkloadState
from .words import plain_line, refuse_flag, utf8_size

__all__ = [
    "After",
    "BackendKind",
    "BackendName",
    "FilePath",
    "Input",
    "JobSpec",
    "LabelName",
    "LabelValue",
    "Outcome",
    "Output",
    "Placement",
    "ProjectName",
    "Retries",
    "clean_path",
]

MAX_SCRIPT = 1_000_000
"""Characters of a script; more than that belongs into an input file."""

_MOST_OF_ALL = 1_048_576
"""Bytes of all arguments and variables together; what is larger belongs into an input file."""

_MOST_OPTIONS = 16_384

_CREDENTIALS = re.compile(r"^[^/@]*:[^/@]*@|://")


ProjectName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class Retries(Model):
    """What to do when an attempt fails."""

    max: int = Field(default=0, ge=0, le=100)
    """How many more attempts after the first."""
    backoff: Annotated[Span, Field(ge=timedelta(0), le=timedelta(days=1))] = timedelta(seconds=5)
    """The pause before the second attempt; it doubles with each further one, up to an hour."""

    _no_flags = field_validator("*", mode="before")(refuse_flag)


LabelName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$")]
LabelValue = Annotated[str, StringConstraints(max_length=256)]

BackendKind = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]

BackendName = Annotated[str, StringConstraints(max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class Placement(Model):
    """Where it may run."""

    backend: BackendName | None = None
    """A backend by name; none lets Shunter choose."""
    backends: list[BackendName] = Field(default=[], max_length=16, examples=[["pull", "local"]])
    """Several, the best liked first: it goes to the first that has room."""
    patience: Annotated[Span, Field(gt=timedelta(0), le=timedelta(days=365))] | None = None
    """How long an attempt may lie in the queue of a backend before it is taken back and goes elsewhere; none is as the
    site says for the project."""
    environment: str | None = Field(default=None, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """What sort of machine takes it, for backends whose workers say what they are; none is any."""
    sites: list[BackendName] = Field(default=[], max_length=16, examples=[["basement"]])
    """Only backends that stand at one of these, such as where data may be kept; none is anywhere."""
    labels: dict[LabelName, LabelValue] = Field(default={}, max_length=16, examples=[{"privacy": "patients"}])
    """Only backends that the site has given all these labels."""
    network: bool = False
    """Whether the program must reach other networks: only backends that let it."""
    options: dict[BackendKind, dict[Annotated[str, StringConstraints(max_length=64)], Any]] = Field(
        default={}, max_length=16, examples=[{"slurm": {"partition": "long"}}]
    )
    """By kind of backend, what only backends of that kind understand; it says nothing to the others."""

    @field_validator("labels")
    @classmethod
    def _check_labels(cls, labels: dict[str, str]) -> dict[str, str]:
        for value in labels.values():
            plain_line(value)
        return labels

    @field_validator("options")
    @classmethod
    def _check_options(cls, options: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        if len(repr(options)) > _MOST_OPTIONS:
            raise ValueError(f"must not be larger than {_MOST_OPTIONS} characters")
        return options

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.backend is not None and self.backends:
            raise ValueError("give either backend or backends")
        if len(set(self.backends)) != len(self.backends):
            raise ValueError("a backend is named twice")
        if self.patience is not None and self.backend is not None:
            raise ValueError("patience is for those that may go elsewhere: name several backends, or none")
        return self

    @property
    def named(self) -> list[str]:
        """Return the backends that are asked for, the best liked first; none means any."""
        return self.backends or ([] if self.backend is None else [self.backend])


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
    unique_name: bool = False
    """Whether no other job of the same owner that says so may have the name, until this one is removed."""
    project: ProjectName | None = None
    """Whom to bill; by default the caller's first project."""
    argv: list[Annotated[str, StringConstraints(max_length=131_072)]] | None = Field(
        default=None, min_length=1, max_length=10_000, examples=[["python", "train.py"]]
    )
    """The program and its arguments. Give this or `script`."""
    script: str | None = Field(default=None, min_length=1, max_length=MAX_SCRIPT)
    """A script; without a `#!` line it is run by `/bin/sh`."""
    application: ApplicationCall | None = None
    """What the site offers, by its name, in the place of `argv` and `script`. Its command, image, inputs, outputs and
    resources are filled in when the job is accepted, and stay as they were then."""
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
    labels: dict[LabelName, LabelValue] = Field(default={}, max_length=64)

    _check_env = field_validator("env")(check_env)

    @field_validator("argv")
    @classmethod
    def _check_argv(cls, argv: list[str] | None) -> list[str] | None:
        if argv is not None and (not argv[0] or any("\x00" in part for part in argv)):
            raise ValueError("the program must not be empty and no argument may hold a NUL character")
        if argv is not None and any(utf8_size(part) > MOST_OF_ONE for part in argv):
            raise ValueError(f"no argument may be longer than {MOST_OF_ONE} bytes")
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
        if self.unique_name and self.name is None:
            raise ValueError("unique_name: what has no name has none that is its own")
        if self.application is not None:
            _note_what_is_asked(self, self.application)
        elif (self.argv is None) == (self.script is None):
            raise ValueError("give either argv or script, or an application")
        if self.inputs:
            check_targets(self.inputs)
        if _command_size(self) > _MOST_OF_ALL:
            raise ValueError(f"argv and env must not be larger than {_MOST_OF_ALL} bytes together")
        if self.array is not None:
            _check_array(self, self.array)
        return self


def _note_what_is_asked(spec: JobSpec, call: ApplicationCall) -> None:
    """Keep which resources were named: written down, one that has its default value looks like one that was not."""
    if call.asked is None:
        asked = [name for name in Resources.model_fields if name in spec.resources.model_fields_set]
        # The model is frozen for everybody else; this is the moment in which it is made.
        spec.__dict__["application"] = call.model_copy(update={"asked": asked})


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
    _check_folders(spec)
    for field, path in outputs:
        if not has_place(path):
            raise ValueError(f"{field}: must hold {{index}} or {{item}}, or the tasks would overwrite each other's")
    for field, path in [*paths, *outputs]:
        for number, item in enumerate(array.items or ()) if "{item}" in path else ():
            try:
                clean_path(fill(path, number, item))
            except ValueError as error:
                raise ValueError(f"{field}: with item {number}: {error}") from error


def _check_folders(spec: JobSpec) -> None:
    """Refuse folders that would differ from task to task."""
    for place, item in enumerate(spec.inputs):
        if item.folder and has_place(item.source):
            raise ValueError(f"inputs.{place}.source: a folder must be the same for all tasks; name single files")
    for place, output in enumerate(spec.outputs):
        if output.to is not None and has_place(output.to):
            raise ValueError(f"outputs.{place}.to: must be the same for all tasks; put the placeholder into the path")
