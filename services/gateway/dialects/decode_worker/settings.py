"""What a site may say of its decode-worker dialect: the section `gateway.dialects.decode_worker`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ByteSize, ConfigDict, Field

from contracts.spec import BackendName, ProjectName
from services.gateway.dialects.decode.settings import AccessInfo

__all__ = ["DecodeWorkerSettings"]


class DecodeWorkerSettings(BaseModel):
    """Everything has a default that goes with those of the decode dialect and of a backend of kind `pull`."""

    model_config = ConfigDict(extra="forbid")

    backend: BackendName = "pull"
    """Whose work is taken. The backend's own settings say whose members may, and of what sort their machines are."""
    workers: ProjectName = "decode-workers"
    """The project of ours that is the group of workers."""
    access: AccessInfo = AccessInfo()
    wait: float = Field(default=1.0, ge=0, le=30)
    """Seconds for which a worker that asks is kept waiting where there is no work yet."""
    transfers: Literal["store", "gateway"] = "store"
    """Whether inputs are fetched from the store, or through the gateway. What is uploaded comes through the gateway,
    which takes it only as long as the job is its worker's."""
    most_form: ByteSize = ByteSize(64 * 2**30)
    """Bytes of a file that is uploaded: it lies on the gateway's disk first."""
