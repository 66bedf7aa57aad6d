"""What a job may say for Ray in `placement.options`."""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

__all__ = ["CustomResources", "Labels", "PythonPackages", "RayOptions", "RuntimeEnv", "RuntimeEnvConfig"]

_OWN = frozenset({"cpu", "gpu", "memory", "object_store_memory"})
"""What is asked for by the job's own resources."""
_EXACT = 10_000
"""Ray counts in parts of this."""
_WORD = r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
_PACKAGES = re.compile(r"^(https|s3|gs|azure|abfss|gcs)://[^\s]+$")


def _custom(name: str) -> str:
    if name.lower() in _OWN:
        raise ValueError(f"{name} is asked for in the job's own resources")
    return name


def _exact(amount: float) -> float:
    if round(amount * _EXACT) != amount * _EXACT:
        raise ValueError("Ray knows no smaller parts than 0.0001")
    return amount


def _remote(address: str) -> str:
    if not _PACKAGES.match(address):
        raise ValueError("a package that nodes fetch is named by https, s3, gs, azure, abfss or gcs")
    return address


Amount = Annotated[float, Field(gt=0, le=1_000_000), AfterValidator(_exact)]
CustomResources = dict[
    Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:/-]{0,127}$"), AfterValidator(_custom)], Amount
]
Labels = dict[
    Annotated[str, StringConstraints(pattern=rf"^(?:{_WORD}(?:\.{_WORD})*/)?{_WORD}$", max_length=317)],
    Annotated[str, StringConstraints(pattern=rf"^!?(?:{_WORD}|in\({_WORD}(?:, ?{_WORD})*\))$", max_length=1024)],
]
"""By name a value, `!value`, `in(one, other)` or `!in(…)`."""
Uri = Annotated[str, StringConstraints(max_length=2048), AfterValidator(_remote)]
_Requirement = Annotated[str, StringConstraints(min_length=1, max_length=1024, pattern=r"^[^\n\r\x00]+$")]
_Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]
_Value = Annotated[str, StringConstraints(max_length=32_768, pattern=r"^[^\x00]*$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PythonPackages(_Part):
    """What pip or uv installs on the node before the job begins."""

    packages: Annotated[list[_Requirement], Field(min_length=1, max_length=1000)]


class RuntimeEnvConfig(_Part):
    """How the environment is made."""

    setup_timeout_seconds: int = Field(default=600, ge=1, le=86_400)
    eager_install: bool = True


class RuntimeEnv(_Part):
    """Ray's own `runtime_env`, less what names files of a node. Whoever may see the cluster's jobs sees it too."""

    env_vars: dict[_Name, _Value] = {}
    working_dir: Uri | None = None
    """Its content is importable; the working folder of the program is still the job's own."""
    py_modules: list[Uri] = []
    pip: list[_Requirement] | PythonPackages | None = None
    uv: list[_Requirement] | PythonPackages | None = None
    conda: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")] | None = None
    """The name of an environment that the nodes have."""
    config: RuntimeEnvConfig | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if sum(maker is not None for maker in (self.pip, self.uv, self.conda)) > 1:
            raise ValueError("one of pip, uv and conda makes the environment")
        return self


class RayOptions(_Part):
    """What only Ray has."""

    gpu_fraction: Annotated[float, Field(gt=0, lt=1), AfterValidator(_exact)] | None = None
    """The share that a job which asks for one GPU holds of it."""
    resources: CustomResources = {}
    """Custom resources that its node must have."""
    labels: Labels = {}
    """Labels that its node must have (Ray 2.49 and newer)."""
    runtime_env: RuntimeEnv = RuntimeEnv()
