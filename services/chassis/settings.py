"""Settings that every service has: defaults, then the YAML file, then the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, YamlConfigSettingsSource

__all__ = ["ChassisSettings", "LogSettings", "NatsSettings", "Server", "Tls"]


class NatsSettings(BaseModel):
    """Where NATS listens and who we are there."""

    url: str = "nats://127.0.0.1:8801"
    user: str | None = None
    password: SecretStr | None = None
    replicas: int = Field(default=1, ge=1, le=5)
    """On how many servers of a cluster each stream lies that we make."""
    connect_within: float = Field(default=30.0, gt=0, le=3600)
    """Seconds that a service waits for NATS at its start before it gives up."""

    @property
    def longest_request(self) -> float:
        """Seconds that a request for messages may lie at a server: a longer one costs less while nothing comes.

        A server of a cluster that dies, or leads no more, tells nobody of those that it had.
        """
        return 30.0 if self.replicas == 1 else 5.0


class LogSettings(BaseModel):
    """How much is logged, and in what form."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "text"] = "json"


class Tls(BaseModel):
    """TLS that we end ourselves, at least of version 1.2; and whose certificates clients may show."""

    certificate: Path
    """Ours and those between it and the authority, as PEM."""
    key: Path
    client_ca: Path | None = None
    """The authorities, as PEM, whose certificates name our users."""
    client_certificates: Literal["none", "optional", "required"] = "none"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.client_certificates == "none") != (self.client_ca is None):
            raise ValueError("client_ca and client_certificates (optional or required) are given together")
        return self


class Server(BaseModel):
    """An address to listen on; loopback unless told otherwise."""

    host: str = "127.0.0.1"
    port: int = Field(ge=0, le=65535)
    tls: Tls | None = None
    socket: Path | None = None
    """A Unix socket to listen on too, for the user who runs this process and nobody else."""


class ChassisSettings(BaseSettings):
    """What every service reads. `SHUNTER_CONFIG` names the YAML file; `SHUNTER_NATS__URL` and so on win over it."""

    model_config = SettingsConfigDict(env_prefix="SHUNTER_", env_nested_delimiter="__", extra="ignore")

    data: Path = Path(".shunter")
    """The folder for whatever must outlive the process."""
    nats: NatsSettings = NatsSettings()
    log: LogSettings = LogSettings()
    ticket_key: SecretStr = SecretStr("")
    """Signs the tickets of uploads and runs; the same for all services of a site, at least 32 characters."""
    sealing_key: SecretStr = SecretStr("")
    """Seals what users keep with us as a secret; by default a key that is derived from `ticket_key`."""
    drain: float = Field(default=15.0, ge=0, le=600)
    """Seconds that a service takes at most to finish what it holds."""
    farewell: float = Field(default=0.0, ge=0, le=60)
    """Seconds that a stopping service still answers over HTTP, so that clients let go of their connections."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 (pydantic's signature)
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the YAML file between the environment and the defaults."""
        yaml = YamlConfigSettingsSource(settings_cls, yaml_file=os.environ.get("SHUNTER_CONFIG"))
        return init_settings, env_settings, file_secret_settings, yaml
