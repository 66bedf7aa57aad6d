"""What one job may say for Slurm in `placement.options.slurm`."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

__all__ = ["SlurmOptions"]

_Word = Annotated[str, StringConstraints(max_length=200, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.,:+-]*$")]
_Expression = Annotated[str, StringConstraints(max_length=200, pattern=r"^[A-Za-z0-9_(\[][A-Za-z0-9_.,:*&|()\[\]=-]*$")]


class SlurmOptions(BaseModel):
    """Each is the option of `sbatch` of that name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    partition: _Word | None = None
    account: _Word | None = None
    qos: _Word | None = None
    reservation: _Word | None = None
    constraint: _Expression | None = None
    """Features of nodes, such as `ib&haswell`."""
    gres: _Word | None = None
    """Other generic resources than GPUs for each node, such as `nvme:1`."""
    nodelist: _Expression | None = None
    exclusive: bool | None = None
    """Whether no other job is to be on its nodes."""

    def over(self, defaults: SlurmOptions) -> SlurmOptions:
        """Return these options, and *defaults* where they say nothing."""
        return SlurmOptions(**defaults.model_dump() | self.model_dump(exclude_none=True))
