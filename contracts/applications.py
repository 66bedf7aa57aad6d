"""Applications: programs that somebody packaged, started by their name."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints, field_validator

from .environment import check_env
from .model import Model
from .paths import FilePath
from .staging import JOBS_FOLDER

__all__ = ["FILES", "ApplicationCall", "Argument", "Asked", "CatalogName"]

FILES = "/files"
"""Where the programs of applications find their working folder."""

CatalogName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._+-]{0,127}$")]
"""Names an application, a version of it, or an entrypoint."""

Argument = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,63}$")]
"""Names what an entrypoint is given or leaves behind, such as `data_ids` or `artifact`."""

Asked = Literal["nodes", "processes", "cpus", "memory", "gpus", "disk", "walltime"]


class ApplicationCall(Model):
    """Start an entrypoint of an application; its command, image, folders and hardware are as its packager wrote."""

    MOST_FOLDERS: ClassVar[int] = 1000

    application: CatalogName = Field(examples=["decode"])
    version: CatalogName = Field(examples=["v0_10_1"])
    entrypoint: CatalogName = Field(examples=["train"])
    inputs: dict[Argument, list[FilePath]] = Field(
        default={}, max_length=64, examples=[{"config_id": ["config/c1"], "data_ids": ["data/d1", "data/d2"]}]
    )
    """By argument: folders of the owner's files. Those of one argument are brought to one place; of files with equal
    names the one in the folder named last is there."""
    env: dict[str, Annotated[str, StringConstraints(max_length=131_072)]] = Field(default={}, max_length=1000)
    """Variables, of those that the application takes."""
    outputs: dict[Argument, FilePath] = Field(default={}, max_length=64, examples=[{"artifact": "artifact/my-model"}])
    """By argument: a folder of the owner's files that receives what the entrypoint leaves behind; by default the job's
    own. What the entrypoint does not leave behind is received by nobody."""
    asked: list[Asked] | None = Field(default=None, max_length=16)
    """Which of the job's `resources` were asked for; the others are the application's. Filled in where it is left out.
    """

    _check_env = field_validator("env")(check_env)

    @field_validator("inputs")
    @classmethod
    def _check_inputs(cls, inputs: dict[str, list[str]]) -> dict[str, list[str]]:
        if sum(map(len, inputs.values())) > cls.MOST_FOLDERS:
            raise ValueError(f"more than {cls.MOST_FOLDERS} folders are not taken")
        return inputs

    @field_validator("outputs")
    @classmethod
    def _check_outputs(cls, outputs: dict[str, str]) -> dict[str, str]:
        for argument, folder in outputs.items():
            if folder.partition("/")[0] == JOBS_FOLDER:
                raise ValueError(f"{argument}: {JOBS_FOLDER}/ is written by jobs alone; choose another folder")
        return outputs

    @property
    def title(self) -> str:
        """Return the three names as people write them."""
        return f"{self.application}/{self.version}/{self.entrypoint}"
