"""The worker API's models, with its names."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel

__all__ = ["AppSpecs", "HandlerSpecs", "HardwareSpecs", "JobSpecs", "MetaSpecs", "UploadType"]


class UploadType(StrEnum):
    """What a worker brings."""

    OUTPUT = "output"
    LOG = "log"
    ARTIFACT = "artifact"


class AppSpecs(BaseModel):
    """What is run."""

    cmd: list[str] | None = None
    """Joined with blanks it is a line for a shell."""
    env: dict[str, str] | None = None


class HandlerSpecs(BaseModel):
    """In which image, and with which files."""

    image_url: str
    image_name: str | None = None
    image_version: str | None = None
    entrypoint: str | None = None
    files_down: dict[str, str] | None = None
    """By the place below `/files`: what to ask `/files` for."""
    files_up: dict[UploadType, str] | None = None
    """Folders below `/files` that are brought home."""


class MetaSpecs(BaseModel):
    """Which job it is."""

    job_id: int
    date_created: str


class HardwareSpecs(BaseModel):
    """What it needs; none means that anything will do."""

    cpu_cores: int | None = None
    memory: int | None = None
    """Megabytes."""
    gpu_model: str | None = None
    gpu_archi: str | None = None
    gpu_mem: int | None = None
    """Megabytes."""


class JobSpecs(BaseModel):
    """A job that was pulled."""

    app: AppSpecs
    handler: HandlerSpecs
    meta: MetaSpecs
    hardware: HardwareSpecs
