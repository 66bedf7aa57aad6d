"""What is brought to a working folder before a start, and what is brought home from it after the end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from pydantic import Field, field_validator, model_validator

from .model import Model
from .paths import FilePath

__all__ = ["JOBS_FOLDER", "Input", "Output", "check_targets"]

JOBS_FOLDER = "jobs"
"""The folder of every owner in which Shunter, and nobody else, puts files."""

_MOST_DEEP = 4
"""How often `**` may stand in one pattern; each multiplies the work of finding the files."""


class Input(Model):
    """A file or a folder of the owner's, brought to the working folder before the start."""

    source: FilePath = Field(examples=["data/digits.csv"])
    """Where it lies in the owner's files."""
    path: FilePath | None = None
    """Where it is put in the working folder; by default under its own name."""
    folder: bool = False
    """Whether `source` is a folder: all files in it are brought, each to its place below `path`, as they are when the
    job is submitted. Several may share one `path`; of files with equal names the one named last is there."""

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
    to: FilePath | None = Field(default=None, examples=["artifact/train-digits"])
    """A folder of the owner's files in which they are put, each under its path in the working folder; by default
    `outputs` in the job's own folder."""

    @field_validator("path")
    @classmethod
    def _check_pattern(cls, path: str) -> str:
        parts = path.split("/")
        if any("**" in part and part != "**" for part in parts):
            raise ValueError("** must stand alone between two /")
        if parts.count("**") > _MOST_DEEP:
            raise ValueError(f"** must not stand more than {_MOST_DEEP} times in a pattern")
        return path

    @model_validator(mode="after")
    def _check_to(self) -> Output:
        if self.to is not None and self.to.partition("/")[0] == JOBS_FOLDER:
            raise ValueError(f"to: {JOBS_FOLDER}/ holds what jobs leave behind by themselves; choose another folder")
        return self


def check_targets(inputs: Sequence[Input]) -> None:
    """Refuse two files in one place, and a place that would have to be a file and a folder at once."""
    files = [item.target for item in inputs if not item.folder]
    targets = set(files)
    if len(targets) != len(files):
        raise ValueError("two inputs have the same place in the working folder")
    folders = {item.target for item in inputs if item.folder}
    for target in (*folders, *targets):
        if target in targets and target in folders:
            raise ValueError(f"the input {target!r} cannot be a file and the folder of another one")
        end = target.find("/")
        while end > 0:
            if target[:end] in targets:
                raise ValueError(f"the input {target[:end]!r} cannot be a file and the folder of another one")
            end = target.find("/", end + 1)
