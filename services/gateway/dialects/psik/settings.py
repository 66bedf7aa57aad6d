"""What a site may say of its psik dialect: the section `gateway.dialects.psik`."""

from __future__ import annotations

from pydantic import BaseModel, ByteSize, ConfigDict, Field

__all__ = ["PsikBackend", "PsikSettings"]


class PsikBackend(BaseModel):
    """A backend by the name that psik's clients give it."""

    model_config = ConfigDict(extra="forbid")

    backend: str | None = None
    """The backend of ours that is meant; none lets Shunter choose."""
    mpirun: str = ""
    """What `$mpirun` is in scripts, e.g. `srun`; empty starts one process."""
    notes: list[str] = []


class PsikSettings(BaseModel):
    """Everything has a default: psik's clients are served as soon as the gateway runs."""

    model_config = ConfigDict(extra="forbid")

    backends: dict[str, PsikBackend] = Field(default={"default": PsikBackend()}, min_length=1)
    """The first is what a client gets that names none. Every backend of ours is known by its own name too."""
    authz: str | None = None
    """A policy of the site's own, `module:Class` or a name in the entry points `shunter.psik.authz`."""
    token_lifetime: float = Field(default=86400.0, gt=0)
    """Seconds that a token of `GET /token` is good for."""
    most_multipart: ByteSize = ByteSize(4 * 2**30)
    """Bytes of an upload that lies on the gateway's disk first: a form, or a body that does not say how long it is."""
    most_log: ByteSize = ByteSize(16 * 2**20)
    """Bytes of each output that `/logs` repeats; of longer ones the end."""
