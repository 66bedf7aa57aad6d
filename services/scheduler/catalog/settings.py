"""Where the applications of a site are written down."""

from __future__ import annotations

from pydantic import BaseModel, Field, SecretStr

__all__ = ["ApplicationSettings", "S3Access", "StorageGlance"]


class S3Access(BaseModel):
    """Where an object lies and who we are there."""

    endpoint: str = "127.0.0.1:8804"
    """Host and port, without a scheme."""
    access_key: str = ""
    secret_key: SecretStr = SecretStr("")
    secure: bool = False
    """Whether to speak TLS."""
    region: str = "us-east-1"


class StorageGlance(BaseModel):
    """What of the section of storage concerns us too."""

    s3: S3Access = S3Access()


class ApplicationSettings(BaseModel):
    """The part of the file under `scheduler.applications`."""

    file: str = Field(default="application_config.yaml", min_length=1, max_length=2048)
    """A path, relative to the data folder, or `s3://<bucket>/<key>`. Where there is none, no application is offered."""
    s3: S3Access | None = None
    """By default that of storage."""
    every: float = Field(default=2.0, gt=0)
    """Seconds between two looks whether it was changed."""
